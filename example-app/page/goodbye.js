/** Why a session has ended, and what helps. */
const texts = {
  kicked_out:
    'An administrator has signed you out, on every server. You may sign in again below. If you do not know why it ' +
    'happened, ask them first.',
  reused:
    'A refresh token of this session was used twice: another person had a copy of it. The copy no longer works. ' +
    'Sign in again below.',
  app: 'You were signed out here from another of your devices. Sign in again below.',
  logout: 'You have signed out in another tab. Sign in again below.',
  replaced: 'A user has signed in again in this browser. Sign in again below.',
  provider:
    'You have signed out of the provider that you came by, and it has told us. Sign in again below.',
  limit: 'You have signed in on too many other devices. Sign in again below.',
}
const unknown = 'This session is over: it was ended, or it has run out. Sign in again below.'

/**
 * Asks the login service why a session has ended.
 *
 * @param {unknown} sessionId
 * @returns {Promise<{ reason?: string, text: string }>}
 */
export async function findGoodbye(sessionId) {
  try {
    const answer = await fetch(`/goodbye/${encodeURIComponent(String(sessionId))}`)
    const { reason } = await answer.json()
    return { reason, text: texts[/** @type {keyof typeof texts} */ (reason)] ?? unknown }
  } catch {
    return { text: unknown }
  }
}
