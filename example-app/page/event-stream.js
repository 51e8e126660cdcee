import { SignedOutError } from '/kickout-client.js'

const longestPauseMs = 15_000
const steadyMs = 5_000

/**
 * Follows an event stream for as long as the session lasts. With `fetch`, because `EventSource` cannot send an access
 * token. A stream that ends is opened again at once: if it was cut by a kick-out, the answer is a 401, the refresh after
 * it is refused, and the page knows.
 *
 * @param {import('express-kickout/client').KickoutClient} client
 * @param {string} url
 * @param {{ onEvent: (type: string, data: any) => void, onEnd: () => void, signal: AbortSignal }} options
 */
export async function followEvents(client, url, { onEvent, onEnd, signal }) {
  let pauseMs = 0
  while (!signal.aborted) {
    const startedAt = performance.now()
    try {
      const answer = await client.fetch(url, { signal })
      if (answer.ok && answer.body) await readEvents(answer.body, onEvent)
    } catch (error) {
      if (signal.aborted || error instanceof SignedOutError) return
    }
    onEnd()
    // Slower and slower while it fails, so that a server that comes back is not run over by everybody's page.
    if (performance.now() - startedAt > steadyMs) pauseMs = 0
    await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random() / 2)))
    pauseMs = Math.min(longestPauseMs, Math.max(1000, pauseMs * 2))
  }
}

/** @param {ReadableStream<Uint8Array>} body @param {(type: string, data: any) => void} onEvent */
async function readEvents(body, onEvent) {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    text += decoder.decode(value, { stream: true })
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const type = /^event: (.*)$/m.exec(block)?.[1]
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (type !== undefined && data !== undefined) onEvent(type, JSON.parse(data))
    }
  }
}
