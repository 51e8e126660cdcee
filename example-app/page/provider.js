import { byId } from './dom.js'

/** @typedef {{ name: string, signOutUrl: string }} Provider */

/**
 * The button that leads to an identity provider.
 *
 * @param {Provider | undefined} provider
 * @param {(text: string) => void} complain
 */
export function startProviderSignIn(provider, complain) {
  const button = byId('provider-sign-in')
  button.hidden = !provider
  button.textContent = `Sign in with ${provider?.name}`
  button.addEventListener('click', async () => {
    const answer = await fetch('/login/provider', { method: 'POST' }).catch(() => undefined)
    if (answer?.ok) location.assign((await answer.json()).url)
    else complain(`${provider?.name} cannot be reached`)
  })
}

/**
 * Comes back from a provider: with its answer in the address, which is taken out of it at once.
 *
 * @param {string} device
 * @returns {Promise<string | undefined>} what went wrong, `undefined` where the session has begun or there is no answer
 */
export async function finishProviderSignIn(device) {
  const query = new URLSearchParams(location.search)
  if (!query.has('state')) return undefined
  history.replaceState(null, '', location.pathname)
  const answer = await fetch('/login/provider/finish', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ answer: query.toString(), device }),
  }).catch(() => undefined)
  if (answer?.ok) return undefined
  const { error } = (await answer?.json().catch(() => undefined)) ?? {}
  return error ?? 'The login service cannot be reached'
}

/** The page where a user of the provider signs out of it. @param {Provider | undefined} provider @param {string} subject */
export function showProviderSignOut(provider, subject) {
  const isFromThere = !!provider && subject.startsWith(`${provider.name.toLowerCase()}:`)
  byId('provider-out').hidden = !isFromThere
  if (!isFromThere) return
  /** @type {HTMLAnchorElement} */
  const link = byId('provider-sign-out')
  link.href = provider.signOutUrl
  link.textContent = `Sign out of ${provider.name}`
}
