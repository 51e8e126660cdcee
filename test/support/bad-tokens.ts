import { createHmac } from 'node:crypto'
import {
  audience,
  base64url,
  claimsAt,
  encodeJson,
  issuer,
  makeSigner,
  type Signer,
} from './make-token.ts'

/** JSON values that some implementation somewhere has mistaken for something else. */
export const oddValues: readonly unknown[] = [
  null, true, false, 0, -0.5, 1, -1, 1.5, 2 ** 53, 1e308, '', ' ', '0', 'null', 'true', '*', 'x'.repeat(256),
  '\ud800', 'https://issuer.test/', ['https://evil.test'], [], [[]], [null], ['a', 7], {}, { 0: 'a', length: 1 },
  { $ne: 1 }, { toString: 'x' }, [[audience]], [{ aud: audience }],
] // prettier-ignore

/** The odd values that *are* right for a claim, and so are not in the corpus. */
function isRight(claim: string, value: unknown): boolean {
  const isId =
    typeof value === 'string' && value !== '' && value.length <= 255 && value.isWellFormed()
  const isNumber = typeof value === 'number'
  switch (claim) {
    case 'exp':
      return isNumber && value > 4e9
    case 'nbf':
    case 'iat':
      return isNumber && value <= 1.5
    case 'sub':
    case 'jti':
    case 'sid':
      return isId
    default:
      return false
  }
}

const matrixClaims = ['iss', 'aud', 'exp', 'nbf', 'iat', 'sub', 'jti', 'sid'] as const

function claimMatrix(signer: Signer, now: number): string[] {
  return matrixClaims.flatMap((claim) =>
    oddValues
      .filter((value) => !isRight(claim, value))
      .map((value) => signer.sign(claimsAt(now, { [claim]: value }))),
  )
}

function badHeaders(signer: Signer, now: number): string[] {
  const good = claimsAt(now)
  const algorithms = oddValues.concat('none', 'HS256', 'RS1', 'ES256K', 'dir', 'A128KW', 'es256')
  const types = oddValues
    .concat('logout+jwt', 'dpop+jwt', 'JWE', 'at+jwt ')
    .filter((typ) => typ !== undefined)
  return [
    ...algorithms.map((alg) => signer.sign(good, { alg })),
    ...types.map((typ) => signer.sign(good, { typ })),
    ...oddValues.map((kid) => signer.sign(good, { kid })),
    ...oddValues.map((crit) => signer.sign(good, { crit })),
    ...oddValues.map((b64) => signer.sign(good, { b64 })),
    ...['JWT', 'jwt', 'application/jwt'].map((cty) => signer.sign(good, { cty })),
    ...['DEF', null].flatMap((zip) => [
      signer.sign(good, { zip }),
      signer.sign(good, { enc: zip }),
    ]),
    ...['events', 'cnf'].flatMap((claim) =>
      oddValues.map((value) => signer.sign({ ...good, [claim]: value })),
    ),
    // What a header of at+jwt would outweigh.
    ...['nonce', 'at_hash', 'c_hash', 's_hash'].flatMap((claim) =>
      oddValues.map((value) => signer.sign({ ...good, [claim]: value }, { typ: 'JWT' })),
    ),
    ...[{ typ: 'ID' }, { typ: 'Refresh' }, { typ: 'Logout' }, { token_use: 'id' }].map((kind) =>
      signer.sign({ ...good, ...kind }),
    ),
    ...[null, 7, true, {}, [''], [7], ['a', null]].map((scope) => signer.sign({ ...good, scope })),
  ]
}

/** Other keys: a stranger's under our kid, embedded, linked; and the public one as a secret. */
function wrongKeys(signer: Signer, now: number): string[] {
  const attacker = makeSigner(signer.alg, signer.kid)
  const secret = signer.publicKey.export({ type: 'spki', format: 'pem' })
  return Array.from({ length: 20 }, (_, index) => {
    const good = claimsAt(now, { sub: `admin-${index}`, scope: 'admin' })
    const input = `${encodeJson({ alg: 'HS256', kid: signer.kid })}.${encodeJson(good)}`
    return [
      attacker.sign(good),
      attacker.sign(good, { jwk: attacker.publicJwk }),
      attacker.sign(good, { jku: 'http://127.0.0.1:9/jwks', kid: `x${index}` }),
      attacker.sign(good, { x5u: 'http://127.0.0.1:9/cert' }),
      `${input}.${base64url(createHmac('sha256', secret).update(input).digest())}`,
      `${encodeJson({ alg: 'none' })}.${encodeJson(good)}.`,
    ]
  }).flat()
}

/** One good token, damaged at every place. */
function damaged(signer: Signer, now: number): string[] {
  const token = signer.sign(claimsAt(now))
  const [header = '', payload = '', signature = ''] = token.split('.')
  const every = <Value>(step: number, make: (index: number) => Value): Value[] =>
    Array.from({ length: Math.floor(token.length / step) }, (_, index) => make(index * step))
  const signatureBytes = Buffer.from(signature, 'base64url')
  return [
    ...every(1, (index) => token.slice(0, index)).filter((text) => text !== ''),
    ...every(3, (index) => token.slice(index + 1)),
    ...every(3, (index) => `${token.slice(0, index)}.${token.slice(index)}`),
    ...every(2, (index) => `${token.slice(0, index)} ${token.slice(index)}`).slice(1),
    ...every(5, (index) => `${token.slice(0, index)}=${token.slice(index)}`).slice(1),
    ...every(7, (index) => `${token.slice(0, index)},${token.slice(index)}`).slice(1),
    ...Array.from({ length: signatureBytes.length * 2 }, (_, index) => {
      const flipped = Buffer.from(signatureBytes)
      flipped[index >> 1]! ^= index % 2 === 0 ? 1 : 0x80
      return `${header}.${payload}.${base64url(flipped)}`
    }),
    `${token}.`, `.${token}`, `${token}=`, `${token}.${token}`, `${payload}.${header}.${signature}`,
    `${header}..${signature}`, `${header}.${payload}.${header}`, '.'.repeat(1000), 'a.'.repeat(2000),
    token.padEnd(8193, 'A'), '"', '{}', 'null', 'undefined', 'Bearer', `Bearer ${token}`,
  ] // prettier-ignore
}

function badTimesAndNames(signer: Signer, now: number): string[] {
  const ages = Array.from({ length: 60 }, (_, index) => 5 + index * index * 1000)
  return [
    ...ages.map((age) => signer.sign(claimsAt(now, { exp: now - age }))),
    ...ages.map((age) => signer.sign(claimsAt(now, { nbf: now + 6 + age }))),
    ...ages.map((age) => signer.sign(claimsAt(now, { iat: now + 6 + age, exp: now + 9e9 }))),
    ...ages.map((_, index) => signer.sign(claimsAt(now, { iss: `${issuer}${'/'.repeat(index + 1)}` }))),
    ...ages.map((_, index) => signer.sign(claimsAt(now, { iss: issuer.slice(0, -1 - (index % 18)) + 'x'.repeat(index) }))),
    ...ages.map((_, index) => signer.sign(claimsAt(now, { aud: [`${audience}/${index}`, audience.toUpperCase()] }))),
  ] // prettier-ignore
}

/**
 * Thousands of distinct bad tokens of every class of the catalogue, for a guard that trusts these signers. Empty texts are
 * not among them: they are no token at all.
 */
export function badTokens(signers: readonly Signer[], nowSeconds: number): string[] {
  const now = Math.floor(nowSeconds)
  const [first] = signers
  const all = signers.flatMap((signer) => [
    ...claimMatrix(signer, now),
    ...badHeaders(signer, now),
    ...wrongKeys(signer, now),
    ...damaged(signer, now),
  ])
  return [...new Set([...all, ...(first ? badTimesAndNames(first, now) : [])])]
}
