import { button, byId, clock, field, fill, repeatedly, row } from '../dom.js'
import { confirm } from './confirm.js'

/**
 * Finds people, and shows where they are signed in.
 *
 * @param {import('../main.js').Session} session
 * @param {(target: object, whom: string, reason: string) => Promise<void>} kickOut
 */
export function startPeople({ client, people, signal }, kickOut) {
  /** @type {HTMLFormElement} */
  const form = byId('find-person')
  const search = field(form, 'person')
  const list = byId('sessions')
  const own = client.snapshot().claims
  let drawn = ''

  /** The users of the demo whose name matches; else the id as it was typed, since a user may have it. */
  function found() {
    const wanted = search.value.trim()
    const fitting = people.filter(({ id, name }) =>
      [id, name].some((text) => text.toLowerCase().includes(wanted.toLowerCase())),
    )
    return fitting.length > 0 || wanted === '' ? fitting : [{ id: wanted, name: wanted }]
  }

  async function load() {
    const wanted = search.value
    const candidates = found()
    const answers = await Promise.all(
      candidates.map(async ({ id }) => {
        const path = `/admin/sessions?subject=${encodeURIComponent(id)}`
        const answer = await client.fetch(path, { signal })
        return answer.ok ? (await answer.json()).sessions : []
      }),
    )
    // The admin has typed another name in the meantime.
    if (wanted !== search.value) return
    const now = JSON.stringify([candidates, answers])
    if (now === drawn) return
    drawn = now
    fill(
      list,
      candidates.flatMap((person, at) => toRows(person, answers[at])),
      'Type the id of a person.',
    )
  }

  /** @param {{ id: string, name: string }} person @param {Record<string, any>[]} sessions */
  function toRows({ id, name }, sessions) {
    const count = sessions.length
    const where = `${count} ${count === 1 ? 'device' : 'devices'}`
    const isMe = id === own?.sub
    const whole = button({
      text: 'Kick out',
      label: `Kick out ${name}`,
      key: id,
      danger: true,
      async onClick() {
        const reason = await confirm({
          title: isMe ? `Kick out yourself, ${name}?` : `Kick out ${name}?`,
          text:
            (count === 0
              ? `${name} is not signed in. Access tokens that are still about are refused.`
              : `${name} is signed in on ${where}. Every one is out at once, on every server.`) +
            (isMe ? ' This page is one of them.' : ''),
          yes: `Yes, kick out ${name}`,
          key: id,
        })
        if (reason !== undefined) await kickOut({ subject: id }, name, reason)
      },
    })
    return [
      row({
        title: isMe ? `${name} (you)` : name,
        detail: count === 0 ? 'Not signed in' : `Signed in on ${where}`,
        buttons: [whole],
      }),
      ...sessions.map((session) => toSessionRow(name, session)),
    ]
  }

  /** @param {string} name @param {Record<string, any>} session */
  function toSessionRow(name, session) {
    const device = session.device?.name ?? 'Unnamed device'
    const whom = `${name}'s ${device}`
    const id = session.session_id
    const isThis = id === own?.sid
    const end = button({
      text: 'End session',
      label: `End the session of ${whom}`,
      key: id,
      danger: true,
      async onClick() {
        const reason = await confirm({
          title: `End the session of ${whom}?`,
          text: isThis
            ? 'It is the session of this page.'
            : `${name}'s other devices stay signed in.`,
          yes: 'Yes, end it',
          key: id,
        })
        if (reason !== undefined) await kickOut({ session: id }, whom, reason)
      },
    })
    return row({
      nested: true,
      title: isThis ? `${device} (this one)` : device,
      detail: `Since ${clock(session.started_at)}, last refresh ${clock(session.last_seen_at)}`,
      buttons: [end],
    })
  }

  form.addEventListener('submit', (event) => event.preventDefault(), { signal })
  search.addEventListener('input', () => void load().catch(() => undefined), { signal })
  repeatedly(byId('admin'), 3000, signal, load)
  return { load }
}
