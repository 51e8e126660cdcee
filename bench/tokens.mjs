import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { listen } from './processes/listen.mjs'

const signAsync = promisify(sign)

export const issuer = 'https://login.example.com'
export const audience = 'https://api.example.com'
export const scope = 'reports:read'

const keyTypes = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A signing key, as node:crypto, JWK and PEM have it. */
export function makeKey(algorithm) {
  const { privateKey, publicKey } = generateKeyPairSync(...keyTypes[algorithm])
  const kid = randomUUID()
  const named = { kid, alg: algorithm, use: 'sig' }
  return {
    algorithm,
    kid,
    privateKey,
    privateJwk: { ...privateKey.export({ format: 'jwk' }), ...named },
    publicJwk: { ...publicKey.export({ format: 'jwk' }), ...named },
    publicPem: publicKey.export({ format: 'pem', type: 'spki' }),
  }
}

/** The SHA-256 thumbprint of an EC key, RFC 7638. */
export function thumbprintOf({ crv, kty, x, y }) {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
}

/** Claims of RFC 9068, as the issuer of this package writes them. */
export function claimsOf(index) {
  const now = Date.now()
  const iat = Math.floor(now / 1000)
  return {
    iss: issuer,
    sub: `user-${index}`,
    aud: audience,
    exp: iat + 3600,
    iat,
    jti: randomUUID(),
    client_id: 'web',
    scope: `openid ${scope} reports:write`,
    sid: randomUUID(),
    session_version: now,
  }
}

export async function makeToken(key, claims, typ = 'at+jwt') {
  const header = { alg: key.algorithm, typ, kid: key.kid }
  const input = `${base64url(header)}.${base64url(claims)}`
  const signature = await signAsync('sha256', Buffer.from(input), {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  return `${input}.${signature.toString('base64url')}`
}

/** Different valid tokens, each of a user and a session of its own. */
export async function makeTokens(key, count) {
  const tokens = []
  while (tokens.length < count) {
    const batch = Math.min(100, count - tokens.length)
    const indexes = Array.from({ length: batch }, (_, offset) => tokens.length + offset)
    tokens.push(...(await Promise.all(indexes.map((index) => makeToken(key, claimsOf(index))))))
  }
  return tokens
}

/** Tokens in a file, one a line: how they get to load generators. */
export function writeTokens(tokens) {
  const folder = mkdtempSync(join(tmpdir(), 'kickout-bench-'))
  const file = join(folder, 'tokens')
  writeFileSync(file, tokens.join('\n') + '\n')
  return { file, count: tokens.length, remove: () => rmSync(folder, { recursive: true }) }
}

/** Publishes keys and counts who asks for them. */
export async function publishKeys(keys) {
  const body = JSON.stringify({ keys: keys.map((key) => key.publicJwk) })
  let fetches = 0
  const server = createServer((_req, res) => {
    fetches++
    res.writeHead(200, { 'content-type': 'application/json' }).end(body)
  })
  const port = await listen(server)
  return {
    uri: `http://127.0.0.1:${port}/jwks.json`,
    get fetches() {
      return fetches
    },
    close: () => server.close().closeAllConnections(),
  }
}
