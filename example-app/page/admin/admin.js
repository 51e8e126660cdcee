import { startHistory } from './history.js'
import { startPeople } from './people.js'
import { startServers } from './servers.js'

/** For those whose token grants `sessions:admin`: who is signed in where, and out with them. @param {import('../main.js').Session} session */
export function startAdmin(session) {
  const { client } = session
  const servers = startServers(session)
  /** How each kick-out made here went, by its id. @type {Map<string, string>} */
  const outcomes = new Map()
  const history = startHistory(session, outcomes)
  const people = startPeople(session, kickOut)

  /** @param {object} target @param {string} whom @param {string} reason */
  async function kickOut(target, whom, reason) {
    const answer = await client
      .fetch('/admin/kick-outs', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ ...target, ...(reason && { reason }) }),
      })
      .catch(() => undefined)
    const result = await answer?.json().catch(() => undefined)
    if (!answer?.ok || !result) {
      // An answer may be lost, or the store may have it all the same. A kick-out is safe to repeat.
      const why = result?.error_description ?? 'the login service did not answer'
      const isRefused = answer !== undefined && answer.status < 500
      session.say(
        isRefused
          ? `${whom} was not kicked out: ${why}.`
          : `${whom} may not be out: ${why}. Try again.`,
      )
      return
    }
    const outcome = describeOutcome(result)
    outcomes.set(result.id, outcome)
    session.say(`${whom} is out: ${outcome}.`)
    servers.showOutcome(result, whom, outcome)
    // Who has kicked out themselves sees no more of it.
    await Promise.all([people.load(), history.load()]).catch(() => undefined)
  }
}

/** @param {{ servers: number | null, confirmed: number, elapsed_ms: number }} result */
function describeOutcome({ servers, confirmed, elapsed_ms: elapsedMs }) {
  if (servers === null) return 'stored, but which servers there are cannot be read'
  return (
    `in force on ${confirmed} of ${servers} ${servers === 1 ? 'server' : 'servers'} ` +
    `after ${Math.max(1, Math.round(elapsedMs))} ms`
  )
}
