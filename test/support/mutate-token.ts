import { base64url } from './make-token.ts'
import type { Random } from './random.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const foreign = ['=', '+', '/', '.', '~', ' ', '\t', '\n', ',', '"', '%', '\u00e9', '\u0000']
const p256Order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

const values: unknown[] = [
  null, true, false, 0, -1, 1e308, 4e9, '', 'x', 'none', 'HS256', 'RS256', 'PS256', 'ES256', 'EdDSA',
  [], {}, ['x'], { a: 1 }, '../../etc/passwd', '\ud800', 'admin', 'JWT', 'at+jwt',
] // prettier-ignore
const names = [
  'alg', 'typ', 'kid', 'jwk', 'jku', 'x5c', 'x5u', 'crit', 'b64', 'zip', 'enc', 'cty',
  'iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'sid', 'scope', 'cnf', 'nonce', '__proto__',
] // prettier-ignore

type Mutation = (token: string, random: Random, donor: string) => string

function splice(text: string, at: number, removed: number, inserted: string): string {
  return text.slice(0, at) + inserted + text.slice(at + removed)
}

/** Changes the bytes of one part and encodes them properly again. */
function changeBytes(token: string, index: number, change: (bytes: Buffer) => Uint8Array): string {
  const parts = token.split('.')
  parts[index] = base64url(change(Buffer.from(parts[index] ?? '', 'base64url')))
  return parts.join('.')
}

/** Changes one member of the header or the payload. */
function changeMember(token: string, index: number, name: string, value: unknown): string {
  return changeBytes(token, index, (bytes) => {
    const object = JSON.parse(bytes.toString()) as Record<string, unknown>
    object[name] = value
    return Buffer.from(JSON.stringify(object))
  })
}

const mutations: readonly Mutation[] = [
  (token, random) => splice(token, random.below(token.length), 1, random.pick([...alphabet])),
  (token, random) => splice(token, random.below(token.length), 1, random.pick(foreign)),
  (token, random) => splice(token, random.below(token.length + 1), 0, random.pick([...alphabet])),
  (token, random) => splice(token, random.below(token.length + 1), 0, random.pick(foreign)),
  (token, random) => splice(token, random.below(token.length), 1 + random.below(8), ''),
  (token, random) => token.slice(0, random.below(token.length)),
  (token, random) => token.slice(1 + random.below(token.length - 1)),
  (token, random) => token + random.pick(['=', '==', '.', 'A', 'AAAA', '.AAAA', ' ', token]),
  // The last character of a part: its unused bits.
  (token, random) => {
    const parts = token.split('.')
    const index = random.below(3)
    parts[index] = `${parts[index]?.slice(0, -1)}${random.pick([...alphabet])}`
    return parts.join('.')
  },
  (token, random) => {
    const at = random.below(token.length)
    const char = token[at] ?? ''
    const swapped = char === char.toUpperCase() ? char.toLowerCase() : char.toUpperCase()
    return splice(token, at, 1, swapped)
  },
  (token, random) => changeBytes(token, random.below(3), (bytes) => flipBit(bytes, random)),
  (token, random) => changeBytes(token, 2, (bytes) => flipBit(bytes, random)),
  (token, random) => changeBytes(token, 2, (bytes) => bytes.subarray(random.below(bytes.length))),
  (token, random) =>
    changeBytes(token, 2, (bytes) => Buffer.concat([bytes, Buffer.alloc(1 + random.below(4))])),
  (token, random) =>
    changeBytes(token, 2, (bytes) => Buffer.alloc(bytes.length, random.below(256))),
  (token, random) => changeMember(token, random.below(2), random.pick(names), random.pick(values)),
  (token, random) =>
    changeBytes(token, random.below(2), (bytes) =>
      Buffer.concat([bytes, Buffer.from(random.pick([' ', '\n', '}']))]),
    ),
  (token, random) => {
    const parts = token.split('.')
    const index = random.below(3)
    parts[index] = donorPart(token, random, index)
    return parts.join('.')
  },
  (token, random, donor) => {
    const [parts, others] = [token.split('.'), donor.split('.')]
    const index = random.below(3)
    parts[index] = others[index] ?? ''
    return parts.join('.')
  },
  (token, random, donor) => {
    const at = random.below(token.length)
    return token.slice(0, at) + donor.slice(random.below(donor.length))
  },
  twinOf,
]

function donorPart(token: string, random: Random, index: number): string {
  return token.split('.')[(index + 1 + random.below(2)) % 3] ?? ''
}

function flipBit(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
  return bytes
}

/** The same token with the other signature that every ECDSA signature has, (r, n−s); as it is where it is not ES256. */
export function twinOf(token: string): string {
  const [header = ''] = token.split('.')
  const { alg } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { alg?: string }
  if (alg !== 'ES256') return token
  return changeBytes(token, 2, (bytes) => {
    const s = p256Order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    return Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
    ])
  })
}

/** One to three mutations of a token. `donor` is another token whose parts may be used. */
export function mutateToken(token: string, random: Random, donor: string): string {
  let mutated = token
  for (let left = 1 + (random.chance(0.2) ? random.below(3) : 0); left > 0; left--) {
    try {
      mutated = random.pick(mutations)(mutated, random, donor)
    } catch {
      // What is no token any more cannot be taken apart; it stays as it is.
    }
  }
  return mutated
}
