import { button, byId, clock, fill, repeatedly, row } from './dom.js'

/** For those whose token grants `sessions:admin`: who is signed in where, and out with them. @param {import('./main.js').Session} session */
export function startAdmin({ client, people, signal, say }) {
  const isAdmin = client.snapshot().claims?.scope?.split(' ').includes('sessions:admin') ?? false
  byId('admin').hidden = !isAdmin
  if (!isAdmin) return

  /** @type {HTMLInputElement} */
  const reason = byId('reason')
  /** How each kick-out made here went, by its id. @type {Map<string, string>} */
  const outcomes = new Map()
  let drawn = ''

  async function load() {
    const read = async (/** @type {string} */ path) => (await client.fetch(path, { signal })).json()
    const [{ servers }, { kick_outs: kickOuts }, ...perPerson] = await Promise.all([
      read('/admin/servers'),
      read('/admin/kick-outs?limit=6'),
      ...people.map(({ id }) => read(`/admin/sessions?subject=${encodeURIComponent(id)}`)),
    ])
    showServers(servers)
    const now = JSON.stringify([kickOuts, perPerson, [...outcomes]])
    if (now === drawn) return
    drawn = now
    fill(
      byId('sessions'),
      people.flatMap((person, at) => toRows(person, perPerson[at].sessions)),
    )
    fill(byId('kick-outs'), kickOuts.map(toKickOutRow), 'Nobody was kicked out.')
  }

  /** @param {object} target @param {string} whom */
  async function kickOut(target, whom) {
    const answer = await client.fetch('/admin/kick-outs', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...target, ...(reason.value && { reason: reason.value }) }),
    })
    const result = await answer.json()
    if (!answer.ok) {
      say(`${whom} could not be kicked out: ${result.error_description}`)
      return
    }
    const outcome =
      `in force on ${result.confirmed} of ${result.servers} ${result.servers === 1 ? 'server' : 'servers'} ` +
      `after ${Math.max(1, Math.round(result.elapsed_ms))} ms`
    outcomes.set(result.id, outcome)
    say(`${whom} is out: ${outcome}.`)
    reason.value = ''
    await load()
  }

  /** @param {import('./main.js').Person} person @param {Record<string, any>[]} sessions */
  function toRows(person, sessions) {
    const whole = button({
      text: 'Kick out',
      label: `Kick out ${person.name}`,
      key: person.id,
      danger: true,
      onClick: () => kickOut({ subject: person.id }, person.name),
    })
    const count = sessions.length
    return [
      row({
        title: person.name,
        detail:
          count === 0
            ? 'Not signed in'
            : `Signed in on ${count} ${count === 1 ? 'device' : 'devices'}`,
        buttons: [whole],
      }),
      ...sessions.map((session) => {
        const device = session.device?.name ?? 'Unnamed device'
        const whom = `${person.name}'s ${device}`
        return row({
          nested: true,
          title:
            session.session_id === client.snapshot().claims?.sid ? `${device} (this one)` : device,
          detail: `Since ${clock(session.started_at)}, last refresh ${clock(session.last_seen_at)}`,
          buttons: [
            button({
              text: 'End session',
              label: `End the session of ${whom}`,
              key: session.session_id,
              danger: true,
              onClick: () => kickOut({ session: session.session_id }, whom),
            }),
          ],
        })
      }),
    ]
  }

  /** @param {Record<string, any>} kickOut */
  function toKickOutRow({ id, at, by, level, target, reason: why }) {
    const name = people.find((person) => person.id === target)?.name ?? target
    /** @type {Record<string, string>} */
    const titles = {
      subject: `${name}, everywhere`,
      session: `One session, ${target}`,
      token: `One access token, ${target}`,
      client: `Client ${target}`,
      everyone: 'Everyone',
    }
    const details = [
      clock(at),
      by === null ? 'by the person or by the issuer' : `by ${by}`,
      ...(why === null ? [] : [`“${why}”`]),
      ...(outcomes.has(id) ? [outcomes.get(id)] : []),
    ]
    return row({
      title: titles[level] ?? level,
      detail: details.join(', '),
    })
  }

  /** @param {Record<string, any>[]} servers */
  function showServers(servers) {
    fill(
      byId('servers'),
      servers.map((server) =>
        row({
          title: `${server.server_id}: ${server.state}`,
          detail: `Knew of every kick-out ${server.staleness_ms} ms ago, ${server.applied} so far`,
        }),
      ),
    )
  }

  repeatedly(3000, signal, load)
}
