import { byId, clock, field, fill, repeatedly, row } from '../dom.js'

const pageSize = 8

/**
 * Who kicked whom out, when and why: in pages, and filtered.
 *
 * @param {import('../main.js').Session} session
 * @param {Map<string, string>} outcomes how kick-outs went that were made here, by their id
 */
export function startHistory({ client, people, signal }, outcomes) {
  /** @type {HTMLFormElement} */
  const form = byId('filter')
  const error = byId('filter-error')
  const [newer, older] = [byId('newer'), byId('older')]
  /** Where each page up to this one begins. The first has no `before`. @type {(string | undefined)[]} */
  let pages = [undefined]
  /** @type {string | undefined} */
  let next
  let drawn = ''

  function query() {
    const before = pages.at(-1)
    const admins = field(form, 'admins').checked ? '*' : ''
    const given = Object.entries({
      limit: String(pageSize),
      before,
      target: field(form, 'target').value.trim(),
      by: field(form, 'by').value.trim() || admins,
      level: field(form, 'level').value,
    }).flatMap(([name, value]) => (value ? [[name, value]] : []))
    return new URLSearchParams(given).toString()
  }

  async function load() {
    const asked = query()
    const answer = await client.fetch(`/admin/kick-outs?${asked}`, { signal })
    const body = await answer.json()
    // Another page, or another filter, is wanted by now.
    if (asked !== query()) return
    error.textContent = answer.ok ? '' : body.error_description
    if (!answer.ok) return
    next = body.next ?? undefined
    newer.toggleAttribute('disabled', pages.length === 1)
    older.toggleAttribute('disabled', next === undefined)
    byId('page-number').textContent = `Page ${pages.length}`
    const now = JSON.stringify([body.kick_outs, [...outcomes]])
    if (now === drawn) return
    drawn = now
    fill(byId('kick-outs'), body.kick_outs.map(toRow), 'No kick-out like that.')
  }

  /** @param {string} id */
  const nameOf = (id) => people.find((person) => person.id === id)?.name ?? id

  /** @param {Record<string, any>} kickOut */
  function toRow({ id, at, by, level, target, reason }) {
    /** @type {Record<string, string>} */
    const titles = {
      subject: `${nameOf(target)}, everywhere`,
      session: `One session, ${target}`,
      token: `One access token, ${target}`,
      client: `Client ${target}`,
      everyone: 'Everyone',
    }
    const author = by?.subject ?? by?.client
    const details = [
      new Date(at).toLocaleDateString() === new Date().toLocaleDateString()
        ? clock(at)
        : new Date(at).toLocaleString(),
      author === undefined ? 'by no admin' : `by ${nameOf(author)}`,
      ...(reason === null ? [] : [`“${reason}”`]),
      ...(outcomes.has(id) ? [outcomes.get(id)] : []),
    ]
    return row({ title: titles[level] ?? level, detail: details.join(', ') })
  }

  /** @param {(string | undefined)[]} wanted */
  function turnTo(wanted) {
    pages = wanted
    void load().catch(() => undefined)
  }

  form.addEventListener(
    'submit',
    (event) => {
      event.preventDefault()
      turnTo([undefined])
    },
    { signal },
  )
  for (const choice of [field(form, 'level'), field(form, 'admins')]) {
    choice.addEventListener('change', () => turnTo([undefined]), { signal })
  }
  older.addEventListener('click', () => turnTo([...pages, next]), { signal })
  newer.addEventListener('click', () => turnTo(pages.slice(0, -1)), { signal })
  repeatedly(byId('admin'), 3000, signal, load)
  return { load }
}
