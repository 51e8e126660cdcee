import { byId, clock, field, fill, row } from './dom.js'
import { followEvents } from './event-stream.js'
import { followSocket } from './live-socket.js'

/** Notes, as the API keeps them, and each new one the moment a user adds it. @param {import('./main.js').Session} session */
export function startNotes({ client, api, people, signal, say }) {
  const list = byId('notes')
  const live = byId('live')
  const liveStream = byId('live-stream')
  /** @type {HTMLFormElement} */
  const form = byId('add-note')
  const error = byId('add-note-error')
  const text = field(form, 'text')
  error.textContent = ''

  async function load() {
    const answer = await client.fetch(`${api}/notes`, { signal })
    if (!answer.ok) return
    const { notes } = await answer.json()
    fill(list, notes.map(toRow).reverse(), 'No notes yet.')
  }

  /** @param {{ by: string, text: string, at: number }} note */
  function toRow(note) {
    const author = people.find(({ id }) => id === note.by)?.name ?? note.by
    return row({ title: note.text, detail: `${author}, ${clock(note.at)}` })
  }

  /** @param {HTMLElement} line @param {string} state @param {string} text */
  function showLive(line, state, text) {
    line.dataset.state = state
    line.textContent = text
  }

  showLive(live, 'waiting', 'Connecting …')
  byId('ended-socket').textContent = ''
  void followSocket(client, `${api.replace(/^http/, 'ws')}/live`, {
    signal,
    onMessage({ type, server }) {
      // The list has the notes that were added while the stream was closed.
      if (type === 'open') showLive(live, 'open', `Live from API server ${server}, by WebSocket`)
      load().catch(() => undefined)
    },
    onClose(code, reason) {
      const how = `The WebSocket was closed with ${code}${reason && ` (${reason})`}.`
      showLive(live, 'waiting', `${how} Trying again …`)
      byId('ended-socket').textContent = how
    },
  })

  // The same feed once more, to show both ways; a page of yours needs one of them.
  let heard = 0
  showLive(liveStream, 'waiting', 'The event stream is open in another tab.')
  void followInOneTab(`${api}/live`, signal, () =>
    followEvents(client, `${api}/live`, {
      signal,
      onEvent(type) {
        if (type === 'note') heard++
        showLive(liveStream, 'open', `And by an event stream: ${heard} heard`)
      },
      onEnd() {
        showLive(liveStream, 'waiting', 'The event stream has ended. Trying again …')
      },
    }),
  )

  form.addEventListener(
    'submit',
    async (event) => {
      event.preventDefault()
      error.textContent = ''
      const answer = await client
        .fetch(`${api}/notes`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ text: text.value }),
        })
        .catch(() => undefined)
      if (answer?.ok) {
        text.value = ''
        say('Note added.')
      } else if (answer?.status === 403) {
        error.textContent = 'The API refused (403): your access token does not grant notes:write.'
      } else if (!signal.aborted) {
        error.textContent = `The note was not added (${answer?.status ?? 'no answer'}).`
      }
    },
    { signal },
  )
}

/**
 * One tab at a time follows the event stream: over HTTP/1.1 a browser opens six connections to a server, all tabs together,
 * and a stream keeps one of them. The seventh tab would wait for ever, with all that it asks that server.
 *
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} follow
 */
async function followInOneTab(name, signal, follow) {
  if (!navigator.locks) return follow()
  try {
    await navigator.locks.request(`event-stream:${name}`, { signal }, follow)
  } catch {
    // The session was over before it was the turn of this tab.
  }
}
