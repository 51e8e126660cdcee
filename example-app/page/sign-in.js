import { button, byId, field, row } from './dom.js'
import { finishProviderSignIn, startProviderSignIn } from './provider.js'

/**
 * The form, and the demo's list of people beside it.
 *
 * @param {import('express-kickout/client').KickoutClient} client
 * @param {import('./main.js').Person[]} everybody
 * @param {import('./provider.js').Provider | undefined} provider
 * @returns {Promise<boolean>} whether the user has just come back from the provider, and is signed in
 */
export async function startSignIn(client, everybody, provider) {
  // Some have their password elsewhere.
  const people = everybody.filter((person) => person.password !== undefined)

  /** @type {HTMLFormElement} */
  const form = byId('sign-in')
  const error = byId('sign-in-error')
  const name = field(form, 'name')
  const password = field(form, 'password')
  const device = field(form, 'device')
  device.value = guessDevice(navigator.userAgent)

  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    error.textContent = ''
    const answer = await fetch('/login', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        name: name.value,
        password: password.value,
        device: device.value,
      }),
    }).catch(() => undefined)
    password.value = ''
    // The answer has set the refresh cookie, which is all that the client needs.
    if (answer?.ok && (await client.resume().catch(() => false))) return
    error.textContent = answer
      ? ((await answer.json().catch(() => ({}))).error ?? `The login service said ${answer.status}`)
      : 'The login service cannot be reached'
    password.focus()
  })

  byId('people').hidden = people.length === 0
  byId('people-list').replaceChildren(
    ...people.map((person) =>
      row({
        title: `${person.name}: “${person.password}”`,
        detail: `May use ${person.scope.replaceAll(' ', ', ')}`,
        buttons: [
          button({
            text: 'Use',
            label: `Fill in ${person.name}`,
            key: person.id,
            onClick() {
              name.value = person.id
              password.value = person.password ?? ''
              form.querySelector('button')?.focus()
            },
          }),
        ],
      }),
    ),
  )

  /** @param {string} text */
  const complain = (text) => {
    error.textContent = text
  }
  startProviderSignIn(provider, complain)
  const isBack = location.search.includes('state=')
  const problem = await finishProviderSignIn(device.value)
  if (problem !== undefined) complain(problem)
  return isBack && problem === undefined
}

/** @param {string} userAgent */
function guessDevice(userAgent) {
  const browser = /Firefox|Edg|Chrome|Safari/.exec(userAgent)?.[0].replace('Edg', 'Edge')
  const system = /Android|iPhone|iPad|Windows|Mac OS|Linux/.exec(userAgent)?.[0]
  return `${browser ?? 'Browser'} on ${system ?? 'a computer'}`
}
