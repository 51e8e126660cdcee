import { byId, clock, fill, repeatedly, row } from '../dom.js'
import { plot } from './plot.js'

const everyMs = 2000
/** What the plots reach up to at least, milliseconds: a quiet server has a quiet line. */
const leastTopMs = 1000
/** One minute of samples at least, so that the line does not shrink while one looks at it. */
const leastSamples = 30

/**
 * @typedef {object} Server
 * @property {string} server_id
 * @property {string} state
 * @property {number} staleness_ms
 */

/**
 * Which servers there are, how far behind each of them was, and which of them have the last kick-out.
 *
 * @param {import('../main.js').Session} session
 */
export function startServers({ client, signal }) {
  /** @type {Server[]} */
  let servers = []
  /** The last kick-out made here: when its answer came, and since when each server has it. */
  let outcomeAt = 0
  /** @type {Map<string, string>} */
  const holders = new Map()

  async function load() {
    const askedAt = performance.now()
    const read = async (/** @type {string} */ path) => (await client.fetch(path, { signal })).json()
    const [now, record] = await Promise.all([read('/admin/servers'), read('/admin/staleness')])
    servers = now.servers
    /** @type {Map<string, (number | null)[]>} */
    const past = new Map(
      record.servers.map((/** @type {any} */ one) => [one.server_id, one.staleness_ms]),
    )
    const all = [...past.values()]
    const samples = Math.max(leastSamples, ...all.map(({ length }) => length))
    const top = Math.max(leastTopMs, ...all.flat().map((value) => value ?? 0))
    const minutes = Math.max(1, Math.round((record.every_ms * samples) / 60_000))
    byId('servers-scale').textContent =
      'How old the proof is that a server knows of every kick-out. ' +
      `The plots: the last ${minutes === 1 ? 'minute' : `${minutes} minutes`}, 0 to ${top} ms.`
    fill(
      byId('servers'),
      servers.map((server) => toRow(server, past.get(server.server_id) ?? [], { samples, top })),
      'No resource server is live.',
    )
    if (!byId('outcome').hidden) followOutcome(askedAt)
  }

  /** @param {Server} server @param {(number | null)[]} past @param {{ samples: number, top: number }} frame */
  function toRow({ server_id: id, state, staleness_ms: stalenessMs }, past, frame) {
    const worst = Math.max(stalenessMs, ...past.map((value) => value ?? 0))
    const item = row({
      title: `${id}: ${state}`,
      detail: `${stalenessMs} ms ago it knew of every kick-out; at worst ${worst} ms`,
    })
    const label = `Staleness of ${id}: now ${stalenessMs} ms, at worst ${worst} ms`
    item.append(plot(past, { ...frame, label }))
    return item
  }

  /** @param {Record<string, any>} result @param {string} whom @param {string} outcome */
  function showOutcome(result, whom, outcome) {
    outcomeAt = performance.now()
    holders.clear()
    for (const { server_id: id } of servers) {
      if (!result.unconfirmed.includes(id)) holders.set(id, 'has it')
    }
    for (const id of result.unconfirmed) holders.set(id, '')
    byId('outcome').hidden = false
    byId('outcome-text').textContent = `${whom} is out: ${outcome}.`
    drawOutcome()
  }

  /**
   * A server that proves, after the kick-out, that it knows of everything until then has it. Both moments are of the clock
   * of this page, so no other clock matters.
   *
   * @param {number} askedAt
   */
  function followOutcome(askedAt) {
    for (const { server_id: id, staleness_ms: stalenessMs } of servers) {
      const isNews = holders.get(id) === ''
      if (isNews && askedAt - stalenessMs > outcomeAt)
        holders.set(id, `has it since ${clock(Date.now())}`)
    }
    drawOutcome()
  }

  function drawOutcome() {
    const live = new Set(servers.map(({ server_id: id }) => id))
    fill(
      byId('outcome-servers'),
      [...holders].map(([id, since]) => {
        const silent = live.has(id)
          ? 'has not confirmed it'
          : 'has not confirmed it, and is not live any more'
        const item = row({ title: `${since === '' ? '✗' : '✓'} ${id}`, detail: since || silent })
        item.classList.toggle('missing', since === '')
        return item
      }),
    )
  }

  signal.addEventListener('abort', () => {
    byId('outcome').hidden = true
  })
  repeatedly(byId('admin'), everyMs, signal, load)
  return { showOutcome }
}
