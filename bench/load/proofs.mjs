import { createHash, createPrivateKey, randomUUID, sign } from 'node:crypto'
import { connect } from 'node:net'

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Signs a new proof for each request; that takes this process a tenth of what verifying it takes a server. */
function makeProver({ token, privateJwk, publicJwk }, htu) {
  const key = createPrivateKey({ key: privateJwk, format: 'jwk' })
  const header = encode({ typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk })
  const ath = createHash('sha256').update(token).digest('base64url')
  return () => {
    const iat = Math.floor(Date.now() / 1000)
    const input = `${header}.${encode({ jti: randomUUID(), htm: 'GET', htu, iat, ath })}`
    const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
    return `${input}.${signature.toString('base64url')}`
  }
}

/** One connection asks again as soon as it is answered. Answers are small enough to come in one piece. */
function keepAsking(port, nextRequest, onAnswer) {
  const socket = connect(port, '127.0.0.1').setNoDelay(true).setEncoding('latin1')
  let answer = ''
  socket.on('connect', () => socket.write(nextRequest()))
  socket.on('data', (piece) => {
    answer += piece
    const end = answer.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = Number(/content-length: (\d+)/i.exec(answer)?.[1] ?? 0)
    if (answer.length < end + 4 + length) return
    onAnswer(answer.slice(9, 12))
    answer = ''
    socket.write(nextRequest())
  })
  return socket
}

/** Presses a server with requests that each have a proof of their own, as many connections as there are holders. */
export async function pressWithProofs({ port, seconds, htu, holders }) {
  let requests = 0
  let failures = 0
  const statuses = {}
  const startedAt = performance.now()
  const sockets = holders.map((holder) => {
    const prove = makeProver(holder, htu)
    const nextRequest = () =>
      `GET /reports HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: DPoP ${holder.token}\r\nDPoP: ${prove()}\r\n\r\n`
    return keepAsking(port, nextRequest, (status) => {
      requests++
      statuses[status] = (statuses[status] ?? 0) + 1
      if (status !== '200') failures++
    })
  })
  const failed = new Promise((_resolve, reject) => {
    for (const socket of sockets) socket.once('error', reject)
  })
  const pressed = new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  try {
    await Promise.race([pressed, failed])
    const took = (performance.now() - startedAt) / 1000
    return { requests, failures, statuses, seconds: took }
  } finally {
    for (const socket of sockets)
      socket
        .removeAllListeners('error')
        .on('error', () => {})
        .destroy()
  }
}
