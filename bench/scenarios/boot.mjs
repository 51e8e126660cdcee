import { withLiveRevocations } from './live-revocations.mjs'

/** How long a resource server that starts takes until it is live. */
export async function boot(settings) {
  return withLiveRevocations(settings, async ({ readyMs, stallMs }, entries) => ({
    entries,
    seconds: readyMs / 1000,
    stallMs,
  }))
}
