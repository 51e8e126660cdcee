import { button, byId, clock, fill, repeatedly, row } from './dom.js'

/** Where I am signed in, and signing out there. @param {import('./main.js').Session} session */
export function startDevices({ client, signal, say }) {
  const list = byId('devices')
  let drawn = ''

  async function load() {
    const answer = await client.fetch('/me/sessions', { signal })
    if (!answer.ok) return
    const text = await answer.text()
    if (text === drawn) return
    drawn = text
    fill(list, JSON.parse(text).sessions.map(toRow))
  }

  /** @param {Record<string, any>} device */
  function toRow(device) {
    const signOut = button({
      text: 'Sign out',
      label: `Sign out ${device.device}`,
      key: device.session_id,
      danger: true,
      async onClick() {
        const answer = await client
          .fetch(`/me/sessions/${device.session_id}`, { method: 'DELETE' })
          .catch(() => undefined)
        if (answer?.ok) say(`${device.device} is signed out.`)
        else if (answer?.status === 404) say(`${device.device} was not signed in any more.`)
        else say(`${device.device} may still be signed in. Try again.`)
        await load().catch(() => undefined)
      },
    })
    return row({
      title: device.current ? `${device.device} (this one)` : device.device,
      detail: `Since ${clock(device.started_at)}, last refresh ${clock(device.last_seen_at)}`,
      buttons: device.current ? [] : [signOut],
    })
  }

  repeatedly(byId('signed-in'), 3000, signal, load)
  // The last refresh of this device is one of the facts shown.
  const stop = client.subscribe(() => void load().catch(() => undefined))
  signal.addEventListener('abort', stop)
}
