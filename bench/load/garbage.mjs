import { randomBytes } from 'node:crypto'
import { audience, issuer } from '../tokens.mjs'
import { runAutocannon } from './autocannon.mjs'

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Tokens that look right and are not: good claims, a `kid` that no key has, a signature of random bytes. */
export async function floodWithGarbage({ port, amount }) {
  const payload = encode({
    ...{ iss: issuer, aud: audience, sub: 'unknown', scope: 'reports:read' },
    ...{ iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 3600 },
  })
  const garbage = () => {
    const kid = randomBytes(16).toString('base64url')
    const header = encode({ alg: 'RS256', typ: 'at+jwt', kid })
    return `${header}.${payload}.${randomBytes(256).toString('base64url')}`
  }
  const request = {
    method: 'GET',
    path: '/reports',
    setupRequest: (prepared) => ({
      ...prepared,
      headers: { authorization: `Bearer ${garbage()}` },
    }),
  }
  const requests = [request]
  return runAutocannon({ url: `http://127.0.0.1:${port}`, connections: 32, amount, requests })
}
