export {
  backChannelLogout,
  type BackChannelLogoutOptions,
  type LogoutClaims,
} from './back-channel-logout.ts'
export type { SignalHandler } from './receiver.ts'
export type { SenderKeys } from './sender-keys.ts'
export type { SignalEvent } from './signal-event.ts'
export type { SubjectId } from './subject-id.ts'
export {
  type LogoutIssuer,
  type TrustedSender,
  universalLogout,
  type UniversalLogoutOptions,
} from './universal-logout.ts'
