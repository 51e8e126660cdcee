import { expect, test } from '@jest/globals'
import { importJWK, type JWK, jwtVerify } from 'jose'
import { oddValues } from '../support/bad-tokens.ts'
import { factsOf, makeGuarded } from '../support/guarded.ts'
import { audience, claimsAt, issuer, makeSigner } from '../support/make-token.ts'
import { Random } from '../support/random.ts'

type Json = Record<string, unknown>

const isId = (value: unknown) =>
  typeof value === 'string' && value !== '' && value.length <= 255 && value.isWellFormed()
const isScope = (value: unknown) =>
  typeof value === 'string' ||
  (Array.isArray(value) && value.every((each) => typeof each === 'string' && each !== ''))

/** Where we refuse what jose takes: every rule by its name, with when it applies. */
const policy: Record<string, (header: Json, claims: Json, now: number) => boolean> = {
  'the typ is at+jwt, JWT or absent': ({ typ }) =>
    typ !== undefined && !(typeof typ === 'string' && /^(application\/)?(at\+)?jwt$/i.test(typ)),
  'no parameter changes how a token is read': (header) =>
    ['crit', 'b64', 'enc', 'zip', 'p2c'].some((name) => name in header),
  'a kid is a non-empty text that names a key': ({ kid }) =>
    kid !== undefined && kid !== 'es256-key',
  'no nested tokens': ({ cty }) => cty === 'JWT',
  'ID and logout tokens are not access tokens': ({ typ }, claims) =>
    'events' in claims ||
    (!(typeof typ === 'string' && /^(application\/)?at\+jwt$/i.test(typ)) &&
      ['nonce', 'at_hash'].some((name) => name in claims)),
  'bound tokens are not bearer tokens': (_header, claims) => 'cnf' in claims,
  'ids are texts of at most 255 well-formed characters': (_header, claims) =>
    ['sub', 'jti', 'sid', 'client_id', 'azp'].some((name) => name in claims && !isId(claims[name])),
  'a scope is of a known type': (_header, { scope, scp }) =>
    !(scope === undefined ? scp === undefined || isScope(scp) : isScope(scope)),
  'an iat is a number, and not in the future': (_header, { iat }, now) =>
    iat !== undefined && !(typeof iat === 'number' && iat <= now + 5),
  'every aud is a text': (_header, { aud }) =>
    Array.isArray(aud) && aud.some((member) => typeof member !== 'string'),
}

test('T22 T23 T26 T27 agrees with jose.jwtVerify on 6 000 random tokens but for the named rules', async () => {
  const signer = makeSigner('ES256')
  const guarded = makeGuarded({}, { signer })
  const { clock } = guarded
  const key = await importJWK(signer.publicJwk as JWK, 'ES256')
  const random = new Random(7519)
  const headerNames = ['typ', 'kid', 'crit', 'b64', 'cty', 'jku', 'jwk', 'x5t', 'zip', 'alg']
  const claimNames = [
    'iss', 'aud', 'exp', 'nbf', 'iat', 'sub', 'jti', 'sid', 'client_id', 'azp', 'scope', 'scp',
    'session_version', 'nonce', 'cnf', 'at_hash', 'events', 'acr', 'auth_time',
  ] // prettier-ignore
  const now = clock.seconds
  const plausible: unknown[] = [
    ...oddValues, issuer, audience, [audience], [audience, 'b'], [audience, 7], now - 6, now - 5, now - 4, now, now + 5, now + 6,
    'at+jwt', 'JWT', 'application/at+jwt', 'logout+jwt', 'es256-key', 'ES256', 'RS256', 'none', 'a b', ['a'],
  ] // prettier-ignore
  const value = () => (random.chance(0.12) ? undefined : random.pick(plausible))
  const tally = { both: 0, neither: 0, stricter: 0 }
  const used = new Set<string>()

  for (let round = 0; round < 6000; round++) {
    const changes: Json = {}
    const header: Json = { alg: 'ES256', typ: 'at+jwt', kid: signer.kid }
    for (let left = 1 + random.below(3); left > 0; left--) {
      if (random.chance(0.3)) header[random.pick(headerNames)] = value()
      else changes[random.pick(claimNames)] = value()
    }
    const token = signer.sign(claimsAt(now, changes), header)
    const [sentHeader, sent] = token
      .split('.')
      .slice(0, 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Json)
    const theirs = await jwtVerify(token, key, {
      algorithms: ['ES256'],
      issuer,
      audience,
      requiredClaims: ['exp'],
      clockTolerance: 5,
      currentDate: new Date(clock.now()),
    }).then(
      () => true,
      () => false,
    )
    const outcome = await guarded.ask(token)
    const ours = outcome.error === undefined
    const rules = Object.entries(policy).filter(([, applies]) => applies(sentHeader!, sent!, now))
    const story = { round, header: sentHeader, claims: sent, reason: factsOf(outcome.error).reason }

    // No token is let in here that jose would not let in, and each rule refuses something.
    expect({ ...story, ours, theirs }).toEqual({
      ...story,
      ours: theirs && rules.length === 0,
      theirs,
    })
    if (theirs) for (const [name] of rules) used.add(name)
    tally[ours ? 'both' : theirs ? 'stricter' : 'neither']++
  }
  expect(Object.keys(policy).filter((name) => !used.has(name))).toEqual([])
  for (const count of Object.values(tally)) expect(count).toBeGreaterThan(500)
}, 60_000)
