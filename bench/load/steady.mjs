import { connect } from 'node:net'

const tickMs = 2
const connectionsPerServer = 8

/** One connection with one request at a time; answers are small enough to come in one piece. */
function openConnection(port, onAnswer) {
  const socket = connect(port, '127.0.0.1').setNoDelay(true).setEncoding('latin1')
  let answer = ''
  socket.on('data', (piece) => {
    answer += piece
    const end = answer.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = Number(/content-length: (\d+)/i.exec(answer)?.[1] ?? 0)
    if (answer.length < end + 4 + length) return
    const status = answer.slice(9, 12)
    answer = ''
    onAnswer(socket, status)
  })
  return socket
}

/**
 * Asks servers at an even pace: tools that keep a rate by a burst at the beginning of each second measure their own bursts.
 *
 * @returns how many were answered, how many otherwise than with `status`, and how long each answer took, ms
 */
export async function pressSteadily({ ports, perSecond, seconds, tokens, status: wanted = '200' }) {
  let asked = 0
  let requests = 0
  let failures = 0
  const idle = []
  const sentAt = new Map()
  const tookMs = []
  const opened = ports.flatMap((port) =>
    Array.from({ length: connectionsPerServer }, () =>
      openConnection(port, (socket, status) => {
        requests++
        tookMs.push(performance.now() - sentAt.get(socket))
        if (status !== wanted) failures++
        idle.push(socket)
      }),
    ),
  )
  const failed = new Promise((_resolve, reject) => {
    for (const socket of opened) socket.once('error', reject)
  })
  idle.push(...opened)
  const startedAt = performance.now()
  const pressed = new Promise((resolve) => {
    const ticker = setInterval(() => {
      const elapsedMs = performance.now() - startedAt
      const due = Math.floor((Math.min(elapsedMs, seconds * 1000) * perSecond) / 1000)
      while (asked < due && idle.length > 0) {
        const token = tokens[asked++ % tokens.length]
        const socket = idle.shift()
        sentAt.set(socket, performance.now())
        socket.write(
          `GET /reports HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n\r\n`,
        )
      }
      if (elapsedMs < seconds * 1000 || requests < asked) return
      clearInterval(ticker)
      resolve()
    }, tickMs)
  })
  try {
    await Promise.race([pressed, failed])
  } finally {
    for (const socket of opened) socket.destroy()
  }
  return { requests, failures, tookMs }
}
