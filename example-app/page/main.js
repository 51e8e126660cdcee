import { KickoutClient } from '/kickout-client.js'
import { startAdmin } from './admin/admin.js'
import { startDevices } from './devices.js'
import { byId } from './dom.js'
import { findGoodbye } from './goodbye.js'
import { startNotes } from './notes.js'
import { showProviderSignOut } from './provider.js'
import { startSignIn } from './sign-in.js'
import { startThief, tellTheft } from './thief.js'
import { startToken } from './token.js'
import { showSignedIn, showSignedOut } from './views.js'

/**
 * What every part of the page is given while a user is signed in.
 *
 * @typedef {object} Session
 * @property {KickoutClient} client
 * @property {string} api the API server that this page talks to
 * @property {boolean} demo
 * @property {Person[]} people
 * @property {AbortSignal} signal aborts when the session is over
 * @property {(text: string) => void} say tells it on the status line, and to screen readers
 *
 * @typedef {{ id: string, name: string, scope: string, password?: string }} Person
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
/** @type {unknown} */
let sessionId

client.addEventListener('signed-in', () => {
  session.abort()
  session = new AbortController()
  say('')
  const { sub: subject = '', scope = '', sid } = client.snapshot().claims ?? {}
  sessionId = sid
  byId('who-name').textContent = people.find(({ id }) => id === subject)?.name ?? subject
  showProviderSignOut(config.provider, subject)
  const { signal } = session
  const parts = { client, api, demo: config.demo, people, signal, say }
  const isAdmin = scope.split(' ').includes('sessions:admin')
  showSignedIn(isAdmin)
  for (const start of [startNotes, startDevices, startToken, startThief]) start(parts)
  if (isAdmin) startAdmin(parts)
})

let isLeaving = false
client.addEventListener('signed-out', async () => {
  session.abort()
  showSignedOut()
  say(isLeaving ? 'You have signed out.' : '')
  if (isLeaving) {
    isLeaving = false
    byId('sign-in-title').focus()
    return
  }
  byId('ended').hidden = false
  byId('ended-why').textContent = ''
  byId('ended-story').hidden = true
  byId('ended-title').focus()
  const { reason, text } = await findGoodbye(sessionId)
  byId('ended-why').textContent = text
  if (reason === 'reused') await tellTheft()
})

byId('sign-out').addEventListener('click', async () => {
  isLeaving = true
  try {
    await client.signOut()
  } catch {
    isLeaving = false
    say('The login service is away. You are still signed in.')
  }
})

const hasJustSignedIn = await startSignIn(client, people, config.provider)
// Without the hint every first visit would ask for a token in vain.
if (config.hasSession || hasJustSignedIn) await takeUp()
else showSignedOut()

/** Takes up the session of the cookie, or tries again where the login service cannot tell. */
async function takeUp() {
  try {
    if (!(await client.resume())) showSignedOut()
  } catch {
    showSignedOut()
    say('The login service cannot tell whether you are signed in. Trying again …')
    setTimeout(takeUp, 2000)
  }
}

/** @param {string} text */
function say(text) {
  byId('status').textContent = text
}
