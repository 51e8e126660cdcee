import { byId } from './dom.js'

const titles = { 'signed-out': 'sign-in-title', 'signed-in': 'notes-title', admin: 'admin-title' }

/** The view that the address asks for, among those that a signed-in person may see. */
function wanted() {
  return location.hash === '#admin' && !byId('views').hidden ? 'admin' : 'signed-in'
}

/** @param {keyof typeof titles} view */
function show(view) {
  for (const id of Object.keys(titles)) byId(id).hidden = id !== view
  for (const link of byId('views').querySelectorAll('a')) {
    const isCurrent = (link.hash === '#admin') === (view === 'admin')
    link.toggleAttribute('aria-current', false)
    if (isCurrent) link.setAttribute('aria-current', 'page')
  }
}

/** Shows what a signed-in person came for. @param {boolean} isAdmin */
export function showSignedIn(isAdmin) {
  byId('views').hidden = !isAdmin
  byId('who').hidden = false
  byId('ended').hidden = true
  const view = wanted()
  show(view)
  byId(titles[view]).focus()
}

export function showSignedOut() {
  byId('who').hidden = true
  byId('views').hidden = true
  byId('ended').hidden = true
  show('signed-out')
}

window.addEventListener('hashchange', () => {
  if (byId('who').hidden) return
  const view = wanted()
  show(view)
  byId(titles[view]).focus()
})
