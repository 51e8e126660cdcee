/** The browser's side: one session, kept across reloads by the refresh cookie, used by every tab. */
export { SignedOutError, UnavailableError } from './errors.ts'
export type {
  KickoutClaims,
  KickoutClientEvents,
  KickoutSnapshot,
  StepUpDetail,
  UnavailableDetail,
} from './events.ts'
export { KickoutClient } from './kickout-client.ts'
export type { KickoutClientOptions } from './options.ts'
