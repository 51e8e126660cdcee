import { memoryReplayStore, type ReplayStore, type Revocations } from 'express-kickout'
import { type Issuer, memoryStore, type SessionStore } from 'express-kickout/issuer'

/** Where sessions and kick-outs live. */
export interface State {
  store: SessionStore
  /** What an API server checks: a copy in its own process. */
  revocationsForApi(issuer: Issuer, issuerUrl: string): Revocations
  /** What the login service checks on its few guarded routes. */
  revocationsForLogin(issuer: Issuer, issuerUrl: string): Revocations
  /** Which proofs were used: each server refuses those that any of them has accepted. */
  replay: ReplayStore
  close(): Promise<void>
}

/** All in one process: the API shares what the issuer knows, and a restart forgets it. */
export function memoryState(): State {
  return {
    store: memoryStore(),
    revocationsForApi: (issuer) => issuer.revocations,
    revocationsForLogin: (issuer) => issuer.revocations,
    replay: memoryReplayStore(),
    close: async () => {},
  }
}
