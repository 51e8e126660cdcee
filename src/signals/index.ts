export {
  backChannelLogout,
  type BackChannelLogoutOptions,
  type LogoutClaims,
  type SignalEvent,
} from './back-channel-logout.ts'
export type { SenderKeys } from './sender-keys.ts'
