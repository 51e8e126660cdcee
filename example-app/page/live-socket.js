/** How the API closes a WebSocket, see docs/open-connections.md. */
const revoked = 4401
const longestPauseMs = 15_000
const steadyMs = 5_000

/**
 * Follows the feed over a WebSocket for as long as the session lasts. A WebSocket cannot send headers, so the token goes
 * along as a subprotocol beside ours; each refreshed one is sent over the connection, which then outlives the first.
 *
 * @param {import('express-kickout/client').KickoutClient} client
 * @param {string} url
 * @param {{ onMessage: (message: any) => void, onClose: (code: number, reason: string) => void, signal: AbortSignal }} options
 */
export async function followSocket(client, url, { onMessage, onClose, signal }) {
  let pauseMs = 0
  while (!signal.aborted) {
    const startedAt = performance.now()
    try {
      const { code, reason } = await runSocket(client, url, onMessage, signal)
      if (!signal.aborted || code === revoked) onClose(code, reason)
      // Kicked out: the login service says whether that was this session or one token of it.
      if (code === revoked) await client.resume()
    } catch {
      // The token could not be had: signed out, or the login service is away.
    }
    if (signal.aborted) return
    // Slower and slower while it fails, as with the event stream.
    if (performance.now() - startedAt > steadyMs) pauseMs = 0
    await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random() / 2)))
    pauseMs = Math.min(longestPauseMs, Math.max(1000, pauseMs * 2))
  }
}

/**
 * @param {import('express-kickout/client').KickoutClient} client
 * @param {string} url
 * @param {(message: any) => void} onMessage
 * @param {AbortSignal} signal
 * @returns {Promise<CloseEvent>} how it was closed
 */
async function runSocket(client, url, onMessage, signal) {
  let token = await client.token()
  signal.throwIfAborted()
  const socket = new WebSocket(url, ['notes.v1', `bearer.${token}`])
  const stop = client.subscribe(async () => {
    const next = await client.token().catch(() => token)
    if (next === token || socket.readyState !== WebSocket.OPEN) return
    token = next
    socket.send(JSON.stringify({ token }))
  })
  signal.addEventListener('abort', () => socket.close(), { once: true })
  socket.addEventListener('message', ({ data }) => onMessage(JSON.parse(data)))
  try {
    return await new Promise((resolve) => socket.addEventListener('close', resolve))
  } finally {
    stop()
  }
}
