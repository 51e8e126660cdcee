/**
 * The element with an id.
 *
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
export function byId(id) {
  const found = document.getElementById(id)
  if (!found) throw new Error(`There is no #${id}`)
  return /** @type {E} */ (found)
}

/** An input of a form, or another field, by its name. @param {HTMLFormElement} form @param {string} name */
export function field(form, name) {
  return /** @type {HTMLInputElement} */ (form.elements.namedItem(name))
}

/**
 * A row of a list: a title, a quiet line below it, buttons at its end. Everything becomes text, never markup.
 *
 * @param {{ title: string, detail?: string, buttons?: HTMLButtonElement[], nested?: boolean }} row
 */
export function row({ title, detail, buttons = [], nested = false }) {
  const item = document.createElement('li')
  const text = document.createElement('span')
  text.append(title)
  if (detail !== undefined) {
    const small = document.createElement('small')
    small.textContent = detail
    text.append(small)
  }
  item.classList.toggle('nested', nested)
  item.append(text, ...buttons)
  return item
}

/**
 * @param {{ text: string, label?: string, key: string, danger?: boolean, onClick: () => unknown }} options
 * `key` finds the button again after its list was redrawn; `label` is what a screen reader says
 */
export function button({ text, label, key, danger = false, onClick }) {
  const made = document.createElement('button')
  made.type = 'button'
  made.textContent = text
  made.dataset.key = key
  if (label !== undefined) made.setAttribute('aria-label', label)
  made.classList.toggle('danger', danger)
  made.addEventListener('click', onClick)
  return made
}

/**
 * Redraws a list, and leaves the keyboard's focus where it was.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} items
 * @param {string} [whenEmpty]
 */
export function fill(list, items, whenEmpty) {
  const focused = document.activeElement
  const key = focused instanceof HTMLElement && list.contains(focused) ? focused.dataset.key : ''
  const nothing = whenEmpty === undefined ? [] : [row({ title: whenEmpty })]
  list.replaceChildren(...(items.length > 0 ? items : nothing))
  if (!key) return
  const again = [...list.querySelectorAll('button')].find((button) => button.dataset.key === key)
  const heading = list.closest('section')?.querySelector('h2, h3')
  if (heading instanceof HTMLElement) heading.tabIndex = -1
  const target = again ?? heading
  if (target instanceof HTMLElement) target.focus()
}

/** @param {number} ms */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString()
}

/**
 * Runs `work` when its view comes up and every so often while it is shown, until the session is over. A failed run is made
 * up for by the next.
 *
 * @param {HTMLElement} view
 * @param {number} everyMs
 * @param {AbortSignal} signal
 * @param {() => unknown} work
 */
export function repeatedly(view, everyMs, signal, work) {
  const run = async () => {
    if (view.hidden) return
    try {
      await work()
    } catch {
      // Offline or signed out: the listeners of the client show it.
    }
  }
  const timer = setInterval(run, everyMs)
  signal.addEventListener('abort', () => clearInterval(timer))
  window.addEventListener('hashchange', run, { signal })
  void run()
}
