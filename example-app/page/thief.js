import { byId } from './dom.js'

/** A stolen refresh token, and how it is found out. @param {import('./main.js').Session} session */
export function startThief({ client, demo, signal, say, tellStory }) {
  byId('thief').hidden = !demo
  byId('steal').addEventListener(
    'click',
    async () => {
      const stolen = await client.fetch('/demo/thief', { method: 'POST' })
      if (!stolen.ok) {
        say('The thief came too late.')
        return
      }
      const { id, refresh, notes } = await stolen.json()
      const story = [
        `The thief copied your refresh cookie, refreshed with it (${refresh}) and read the notes (${notes}).`,
      ]
      // What this page would do in a minute or so anyway.
      await client.resume().catch(() => undefined)
      story.push(
        'You refreshed. Your token had been used before, so the session was ended at once.',
      )
      tellStory(story)

      const again = await (await fetch(`/demo/thief/${id}/again`, { method: 'POST' })).json()
      story.push(
        `The thief tried again: refreshing is refused (${again.refresh}), and so is reading (${again.notes}).`,
      )
      tellStory(story)
    },
    { signal },
  )
}
