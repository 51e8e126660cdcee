import { KickoutClient } from '/kickout-client.js'
import { startAdmin } from './admin.js'
import { startDevices } from './devices.js'
import { byId } from './dom.js'
import { startNotes } from './notes.js'
import { startSignIn } from './sign-in.js'
import { startThief } from './thief.js'
import { startToken } from './token.js'

/**
 * What every part of the page is given while somebody is signed in.
 *
 * @typedef {object} Session
 * @property {KickoutClient} client
 * @property {string} api the API server that this page talks to
 * @property {boolean} demo
 * @property {Person[]} people
 * @property {AbortSignal} signal aborts when the session is over
 * @property {(text: string) => void} say tells it on the status line, and to screen readers
 * @property {(lines: string[]) => void} tellStory why the session ended, step by step
 *
 * @typedef {{ id: string, name: string, scope: string, password: string }} Person
 */

const config = await (await fetch('/config.json')).json()
const client = new KickoutClient({
  loginUrl: location.origin,
  // The login service has guarded routes of its own, for devices and for admins.
  apiOrigins: [location.origin, ...config.apis],
})
/** @type {Person[]} */
const people = config.demo ? (await (await fetch('/demo/people')).json()).people : []
const api = config.apis[Math.floor(Math.random() * config.apis.length)]
let session = new AbortController()

client.addEventListener('signed-in', () => {
  session.abort()
  session = new AbortController()
  tellStory([])
  show('signed-in')
  const subject = client.snapshot().claims?.sub
  byId('who-name').textContent = people.find(({ id }) => id === subject)?.name ?? subject ?? ''
  const { signal } = session
  const parts = { client, api, demo: config.demo, people, signal, say, tellStory }
  for (const start of [startNotes, startDevices, startToken, startThief, startAdmin]) start(parts)
  byId('notes-title').focus()
})

let isLeaving = false
client.addEventListener('signed-out', () => {
  session.abort()
  show('signed-out')
  byId('ended').hidden = isLeaving
  byId('ended-why').textContent =
    'This session was ended: on another of your devices, by an administrator, or because a ' +
    'refresh token was used twice.'
  say(isLeaving ? 'You have signed out.' : '')
  byId(isLeaving ? 'sign-in-title' : 'ended-title').focus()
  isLeaving = false
})

byId('sign-out').addEventListener('click', async () => {
  isLeaving = true
  await client.signOut()
})

startSignIn(client, people)
// Without the hint every first visit would ask for a token in vain.
if (config.hasSession) await takeUp()
else show('signed-out')

/** Takes up the session of the cookie, or tries again where the login service cannot tell. */
async function takeUp() {
  try {
    if (!(await client.resume())) show('signed-out')
  } catch {
    show('signed-out')
    say('The login service cannot tell whether you are signed in. Trying again …')
    setTimeout(takeUp, 2000)
  }
}

/** @param {'signed-in' | 'signed-out'} view */
function show(view) {
  byId('signed-in').hidden = view !== 'signed-in'
  byId('who').hidden = view !== 'signed-in'
  byId('signed-out').hidden = view !== 'signed-out'
  byId('ended').hidden = true
  say('')
}

/** @param {string} text */
function say(text) {
  byId('status').textContent = text
}

/** @param {string[]} lines */
function tellStory(lines) {
  const list = byId('ended-story')
  list.hidden = lines.length === 0
  list.replaceChildren(
    ...lines.map((line) => {
      const item = document.createElement('li')
      item.textContent = line
      return item
    }),
  )
}
