import { byId, field } from '../dom.js'

/**
 * Asks before a user is kicked out, so that the admin reads the name once more.
 *
 * @param {{ title: string, text: string, yes: string, key: string }} question `key`: of the button that asks, see `button`
 * @returns {Promise<string | undefined>} the reason, maybe empty; `undefined` for no
 */
export async function confirm({ title, text, yes, key }) {
  /** @type {HTMLDialogElement} */
  const dialog = byId('confirm')
  /** @type {HTMLFormElement} */
  const form = byId('confirm-form')
  const reason = field(form, 'reason')
  byId('confirm-title').textContent = title
  byId('confirm-text').textContent = text
  byId('confirm-yes').textContent = yes
  reason.value = ''
  const closed = new AbortController()
  const { signal } = closed

  /** @type {Promise<string | undefined>} */
  const answer = new Promise((resolve) => {
    form.addEventListener(
      'submit',
      (event) => {
        event.preventDefault()
        resolve(reason.value.trim())
        dialog.close()
      },
      { signal },
    )
    byId('confirm-no').addEventListener('click', () => dialog.close(), { signal })
    dialog.addEventListener('close', () => resolve(undefined), { signal })
  })
  dialog.showModal()
  reason.focus()
  const given = await answer
  closed.abort()
  // The list may have been redrawn, and the button that had the focus is gone.
  const asked = [...document.querySelectorAll('button')].find((each) => each.dataset.key === key)
  asked?.focus()
  return given
}
