import { byId } from './dom.js'

/** What is told of a theft that is under way, line by line. @type {string[]} */
let story = []
/** The thief's hideout, while the theft is under way. @type {string | undefined} */
let hideout

/**
 * A stolen refresh token, and how it is found out: in two steps, so that each can be read.
 *
 * @param {import('./main.js').Session} session
 */
export function startThief({ client, demo, signal, say }) {
  byId('thief').hidden = !demo
  const [steal, discover] = [byId('steal'), byId('discover')]
  story = []
  hideout = undefined
  showStory('theft-story')
  steal.hidden = false
  discover.hidden = true

  steal.addEventListener(
    'click',
    async () => {
      const stolen = await client.fetch('/demo/thief', { method: 'POST' })
      if (!stolen.ok) {
        say('The thief came too late.')
        return
      }
      const { id, refresh, notes } = await stolen.json()
      hideout = id
      story = [
        `The thief copied your refresh cookie, refreshed with it (${refresh}) and read the notes (${notes}).`,
      ]
      showStory('theft-story')
      steal.hidden = true
      discover.hidden = false
      discover.focus()
    },
    { signal },
  )
  // The refusal signs the page out, and there the story goes on.
  discover.addEventListener('click', () => void client.resume().catch(() => undefined), { signal })
}

/** The rest of the story, where the session has ended because a refresh token was used twice. */
export async function tellTheft() {
  if (hideout === undefined) return
  story.push('You refreshed. Your token had been used before, so the session was ended at once.')
  showStory('ended-story')
  const answer = await fetch(`/demo/thief/${hideout}/again`, { method: 'POST' })
  hideout = undefined
  const { refresh, notes } = await answer.json()
  story.push(
    `The thief tried again: refreshing is refused (${refresh}), and so is reading (${notes}).`,
  )
  showStory('ended-story')
}

/** @param {string} id of the list */
function showStory(id) {
  const list = byId(id)
  list.hidden = story.length === 0
  list.replaceChildren(
    ...story.map((line) => {
      const item = document.createElement('li')
      item.textContent = line
      return item
    }),
  )
}
