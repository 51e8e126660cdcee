import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { describe, expect, test } from '@jest/globals'
import { decodeJwt } from 'jose'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { factsOf, makeGuarded, run, bearer } from '../support/guarded.ts'
import {
  audience,
  base64url,
  claimsAt,
  encodeJson,
  issuer,
  makeSigner,
  type Signer,
  signWith,
} from '../support/make-token.ts'

const clock = new FakeClock()
const signers = {
  RS256: makeSigner('RS256'),
  PS256: makeSigner('PS256'),
  ES256: makeSigner('ES256'),
  EdDSA: makeSigner('EdDSA'),
}
const everyKey = { keys: Object.values(signers).map((signer) => signer.publicJwk) }
const guarded = makeGuarded({ jwks: everyKey }, { signer: signers.ES256, clock })
const { signer } = guarded
const good = (changes: object = {}) => claimsAt(clock.seconds, changes)

async function reasonOf(token: string, on = guarded): Promise<unknown> {
  const { error, auth } = await on.ask(token)
  if (error === undefined) return auth === undefined ? 'nothing' : 'accepted'
  const { status, code, reason } = factsOf(error)
  return status === 401 && code === 'invalid_token' ? reason : { status, code, reason }
}

/** A key set whose one key has no `alg`, so that nothing but its type narrows what it may verify. */
function guardWithout(members: readonly string[], of: Signer, algorithms?: string[]) {
  const jwk = Object.fromEntries(
    Object.entries(of.publicJwk).filter(([name]) => !members.includes(name)),
  )
  return makeGuarded(
    { jwks: { keys: [jwk] }, ...(algorithms && { algorithms }) },
    { signer: of, clock },
  )
}

describe('forged tokens (1.1)', () => {
  test('the good token of each algorithm is accepted, so that what follows means something', async () => {
    for (const each of Object.values(signers)) {
      expect(await reasonOf(each.sign(good()))).toBe('accepted')
    }
  })

  const nones = ['none', 'None', 'NONE', 'nOnE', '', null, 7, ['ES256'], { alg: 'ES256' }]
  test.each<[string, unknown]>([
    ...nones.map((alg): [string, unknown] => [JSON.stringify(alg), alg]),
    ['absent', undefined],
  ])('T01 refuses alg %s with an empty, a missing and a garbage signature', async (_name, alg) => {
    const head = `${encodeJson({ alg, typ: 'at+jwt', kid: signer.kid })}.${encodeJson(good())}`
    expect(await reasonOf(`${head}.`)).toBe('malformed')
    expect(await reasonOf(head)).toBe('malformed')
    expect(await reasonOf(`${head}.AAAA`)).toBe('algorithm')
    expect(await reasonOf(signer.sign(good(), { alg }))).toBe('algorithm')
  })

  test('T02 refuses HMAC keyed with any spelling of the public key', async () => {
    for (const each of Object.values(signers)) {
      for (const secret of spellings(each.publicKey)) {
        for (const alg of ['HS256', 'HS384', 'HS512']) {
          const input = `${encodeJson({ alg, typ: 'at+jwt', kid: each.kid })}.${encodeJson(good())}`
          const mac = createHmac(`sha${alg.slice(2)}`, secret)
            .update(input)
            .digest()
          expect(await reasonOf(`${input}.${base64url(mac)}`)).toBe('algorithm')
        }
      }
    }
  })

  test('T03 refuses another algorithm of the same family than the key is for', async () => {
    const swaps: [Signer, string][] = [
      [signers.RS256, 'PS256'],
      [signers.PS256, 'RS256'],
      [signers.RS256, 'RS512'],
      [signers.RS256, 'RS384'],
      [signers.ES256, 'ES384'],
      [signers.ES256, 'EdDSA'],
      [signers.EdDSA, 'ES256'],
      [signers.RS256, 'ES256'],
    ]
    for (const [of, alg] of swaps) {
      const input = `${encodeJson({ alg, typ: 'at+jwt', kid: of.kid })}.${encodeJson(good())}`
      const signature = /^[RP]S/.test(alg)
        ? signWith(alg, of.privateKey, input)
        : of.signBytes(input)
      expect(await reasonOf(`${input}.${base64url(signature)}`)).toBe('algorithm')
    }
    for (const alg of [
      'ES256K',
      'RS1',
      'Ed25519',
      'Ed448',
      'X25519',
      'ECDH-ES',
      'es256',
      ' ES256',
    ]) {
      expect(await reasonOf(signer.sign(good(), { alg }))).toBe('algorithm')
    }
    const p384 = makeSigner('ES384', 'p384')
    const wrongCurve = guardWithout(['alg'], p384)
    expect(await reasonOf(p384.sign(good(), { alg: 'ES256' }), wrongCurve)).toBe('algorithm')
  })

  test('T04 lets a key without alg verify what its type and the allow-list both permit', async () => {
    const narrow = guardWithout(['alg'], signers.RS256, ['RS256'])
    expect(await reasonOf(signers.RS256.sign(good()), narrow)).toBe('accepted')
    const header = { alg: 'PS256', typ: 'at+jwt', kid: signers.RS256.kid }
    const input = `${encodeJson(header)}.${encodeJson(good())}`
    const pss = `${input}.${base64url(signWith('PS256', signers.RS256.privateKey, input))}`
    expect(await reasonOf(pss, narrow)).toBe('algorithm')
    expect(await reasonOf(pss, guardWithout(['alg'], signers.RS256))).toBe('accepted')
    expect(await reasonOf(pss)).toBe('algorithm')
  })

  test('T05 ignores an embedded jwk', async () => {
    const attacker = makeSigner('ES256', signer.kid)
    expect(await reasonOf(attacker.sign(good(), { jwk: attacker.publicJwk }))).toBe('signature')
    const stranger = makeSigner('ES256', 'stranger')
    expect(await reasonOf(stranger.sign(good(), { jwk: stranger.publicJwk }))).toBe('unknown_key')
    expect(await reasonOf(stranger.sign(good(), { jwk: stranger.publicJwk, kid: undefined }))).toBe(
      'signature',
    )
  })

  test('T06 never follows jku or x5u: nothing connects to their server', async () => {
    let connections = 0
    const server = createServer((_req, res) => res.end('{}')).on('connection', () => connections++)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
    const attacker = makeSigner('ES256', signer.kid)
    for (const name of ['jku', 'x5u']) {
      for (const url of [own, 'file:///etc/passwd', 'http://169.254.169.254/latest', `${own}#a`]) {
        expect(await reasonOf(attacker.sign(good(), { [name]: url }))).toBe('signature')
        expect(await reasonOf(attacker.sign(good(), { [name]: url, kid: 'new' }))).toBe(
          'unknown_key',
        )
      }
    }
    expect({ connections, fetched: guarded.fetched }).toEqual({ connections: 0, fetched: [] })
    server.close()
    await once(server, 'close')
  })

  test('T07 ignores x5c, x5t and x5t#S256', async () => {
    const attacker = makeSigner('ES256', signer.kid)
    const der = attacker.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
    for (const header of [{ x5c: [der] }, { x5t: 'AAAA' }, { 'x5t#S256': 'AAAA' }]) {
      expect(await reasonOf(attacker.sign(good(), header))).toBe('signature')
    }
  })

  test.each([
    '../../dev/null',
    '/dev/null',
    "' OR 1=1 --",
    '|sleep 10',
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '\u0000',
    '\ud800',
    `${signer.kid} `,
    ` ${signer.kid}`,
    signer.kid.toUpperCase(),
    'x'.repeat(4000),
  ])('T08 finds no key under the kid %j', async (kid) => {
    expect(await reasonOf(signer.sign(good(), { kid }))).toBe('unknown_key')
  })

  test.each([[7], [{}], [['a']], [''], [null], [true]])(
    'T08 refuses a kid that is no text: %j',
    async (kid) => {
      expect(await reasonOf(signer.sign(good(), { kid }))).toBe('malformed')
    },
  )

  test('T08 tells NFC from NFD in a kid', async () => {
    const composed = makeSigner('ES256', 'caf\u00e9')
    const on = makeGuarded({}, { signer: composed, clock })
    expect(await reasonOf(composed.sign(good()), on)).toBe('accepted')
    expect(await reasonOf(composed.sign(good(), { kid: 'cafe\u0301' }), on)).toBe('unknown_key')
  })

  test('T09 tries a token without kid with up to four keys that fit, and refuses it when five do', async () => {
    const token = signer.sign(good(), { kid: undefined })
    expect(await reasonOf(token)).toBe('accepted')
    const second = makeSigner('ES256', 'second')
    const two = makeGuarded({ jwks: { keys: [signer.publicJwk, second.publicJwk] } }, { clock })
    expect(await reasonOf(token, two)).toBe('accepted')
    expect(await reasonOf(second.sign(good(), { kid: undefined }), two)).toBe('accepted')
    expect(await reasonOf(makeSigner('ES256', 'x').sign(good(), { kid: undefined }), two)).toBe(
      'signature',
    )
    const others = ['b', 'c', 'd'].map((kid) => makeSigner('ES256', kid).publicJwk)
    const keys = [...others, second.publicJwk, signer.publicJwk]
    const five = makeGuarded({ jwks: { keys } }, { clock })
    expect(await reasonOf(token, five)).toBe('unknown_key')
    expect(await reasonOf(second.sign(good()), five)).toBe('accepted')
    const four = makeGuarded({ jwks: { keys: keys.slice(1) } }, { clock })
    expect(await reasonOf(token, four)).toBe('accepted')
  })

  test.each([
    [{ crit: ['b64'], b64: false }],
    [{ crit: ['b64'], b64: true }],
    [{ crit: ['exp'] }],
    [{ crit: ['made-up'], 'made-up': 1 }],
    [{ crit: [] }],
    [{ crit: 'b64' }],
    [{ crit: ['b64', 'b64'], b64: true }],
    [{ crit: ['alg'] }],
    [{ crit: null }],
  ])('T10 refuses the header parameter crit, whatever it says: %j', async (header) => {
    expect(await reasonOf(signer.sign(good(), header))).toBe('malformed')
  })

  test('T11 refuses b64 without crit, and a detached payload', async () => {
    expect(await reasonOf(signer.sign(good(), { b64: false }))).toBe('malformed')
    expect(await reasonOf(signer.sign(good(), { b64: true }))).toBe('malformed')
    const [header, , signature] = signer.sign(good()).split('.')
    expect(await reasonOf(`${header}..${signature}`)).toBe('malformed')
    const raw = JSON.stringify(good())
    const head = encodeJson({ alg: 'ES256', kid: signer.kid, b64: false, crit: ['b64'] })
    const unencoded = base64url(signer.signBytes(`${head}.${raw}`))
    expect(await reasonOf(`${head}.${base64url(raw)}.${unencoded}`)).toBe('malformed')
  })

  test('T12 refuses the JSON serialisations', async () => {
    const [protectedHeader, payload, signature] = signer.sign(good()).split('.')
    const flattened = JSON.stringify({ protected: protectedHeader, payload, signature })
    const general = JSON.stringify({
      payload,
      signatures: [{ protected: protectedHeader, signature }],
    })
    for (const text of [flattened, general]) {
      expect(await reasonOf(text)).toEqual({
        status: 400,
        code: 'invalid_request',
        reason: 'malformed',
      })
      expect(await reasonOf(base64url(text))).toBe('malformed')
    }
  })

  test.each([1, 2, 4, 5, 6, 1000, 10_000])(
    'T13 refuses a text of %d dots at once',
    async (dots) => {
      const [header, payload, signature] = signer.sign(good()).split('.')
      const startedAt = performance.now()
      expect(await reasonOf('.'.repeat(dots))).toBe('malformed')
      expect(await reasonOf(`a${'.a'.repeat(dots === 2 ? 3 : dots)}`)).toBe('malformed')
      expect(await reasonOf(`.${header}.${payload}.${signature}`)).toBe('malformed')
      expect(await reasonOf(`${header}.${payload}.${signature}.`)).toBe('malformed')
      expect(await reasonOf(`${header}.${payload}.`)).toBe('malformed')
      expect(await reasonOf(`.${payload}.${signature}`)).toBe('malformed')
      expect(performance.now() - startedAt).toBeLessThan(250)
    },
  )

  test('T14 refuses encryption, nesting and compression before anything is decrypted', async () => {
    const jwe = `${encodeJson({ alg: 'RSA-OAEP', enc: 'A256GCM', kid: signer.kid })}.AA.AA.AA.AA`
    expect(await reasonOf(jwe)).toBe('malformed')
    const pbes = { alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 2 ** 31, p2s: 'AAAA' }
    expect(await reasonOf(`${encodeJson(pbes)}.AA.AA.AA.AA`)).toBe('malformed')
    for (const header of [
      { enc: 'A256GCM' },
      { zip: 'DEF' },
      { p2c: 2 ** 31 },
      { cty: 'JWT' },
      { cty: 'application/jwt' },
    ]) {
      expect(await reasonOf(signer.sign(good(), header))).toBe('malformed')
    }
    const nested = signer.signText(
      JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: signer.kid }),
      signer.sign(good()),
    )
    expect(await reasonOf(nested)).toBe('malformed')
  })

  test('T15 refuses degenerate ECDSA signatures', async () => {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const [header, payload, signature = ''] = signer.sign(good()).split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const scalars = [0n, 1n, order - 1n, order, order + 1n, 2n ** 256n - 1n].map(toScalar)
    const forged = scalars.flatMap((r) => scalars.map((s) => Buffer.concat([r, s])))
    forged.push(
      Buffer.concat([bytes, Buffer.alloc(1)]),
      Buffer.concat([bytes, Buffer.alloc(64)]),
      bytes.subarray(0, 63),
      bytes.subarray(0, 32),
      Buffer.concat([Buffer.from([0x30, 0x44, 0x02, 0x20]), bytes]),
      Buffer.alloc(64),
    )
    for (const each of forged) {
      expect(await reasonOf(`${header}.${payload}.${base64url(each)}`)).toBe('signature')
    }
  })

  test('T16 verifies the other ECDSA spelling (r, n−s), and refuses it too once the token is out', async () => {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const revocations = memoryRevocations({ issuer })
    const on = makeGuarded({ revocations }, { signer, clock })
    const claims = good({ jti: 'twin' })
    const token = signer.sign(claims)
    const [header, payload, signature = ''] = token.split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const twin = `${header}.${payload}.${base64url(Buffer.concat([bytes.subarray(0, 32), toScalar(order - s)]))}`
    expect(await reasonOf(token, on)).toBe('accepted')
    expect(await reasonOf(twin, on)).toBe('accepted')
    await revocations.kickOut({ token: { jti: 'twin' } })
    expect(await reasonOf(token, on)).toBe('revoked')
    expect(await reasonOf(twin, on)).toBe('revoked')
  })

  test('T17 refuses every second spelling of a signature', async () => {
    for (const each of Object.values(signers)) {
      const token = each.sign(good())
      const last = token.at(-1) ?? ''
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      const sameBytes = [...alphabet].filter(
        (char) =>
          char !== last &&
          Buffer.from(`${token.slice(0, -1)}${char}`.split('.')[2] ?? '', 'base64url').equals(
            Buffer.from(token.split('.')[2] ?? '', 'base64url'),
          ),
      )
      expect(sameBytes).toHaveLength(15)
      for (const char of sameBytes) {
        expect(await reasonOf(`${token.slice(0, -1)}${char}`)).toBe('malformed')
      }
      for (const tail of ['=', '==', '===']) expect(await reasonOf(token + tail)).toBe('malformed')
      for (const inside of [' ', '\t', '\n', '\f', '\r', '\u00a0', '%', '!']) {
        expect(await reasonOf(`${token.slice(0, -5)}${inside}${token.slice(-5)}`)).toMatchObject({
          status: 400,
        })
      }
      const [header, payload, signature = ''] = token.split('.')
      const foreign = signature.replaceAll('-', '+').replaceAll('_', '/')
      if (foreign !== signature) {
        expect(await reasonOf(`${header}.${payload}.${foreign}`)).toBe('malformed')
      }
    }
  })

  test('T18 drops unsound keys alone and goes on with the sound one', async () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
    const jwk = signers.RS256.publicJwk
    const unsound = [
      { ...small.export({ format: 'jwk' }), kid: 'small', alg: 'RS256' },
      { ...jwk, kid: 'e1', e: 'AQ' },
      { ...jwk, kid: 'e1-padded', e: 'AAAB' },
      { ...jwk, kid: 'even', e: 'AQAA' },
      { ...jwk, kid: 'e0', e: 'AA' },
      { ...signer.publicJwk, kid: 'off-curve', y: signer.publicJwk['x'] },
      { ...signer.publicJwk, kid: 'wrong-curve', crv: 'P-384' },
      { ...signers.EdDSA.publicJwk, kid: 'x25519', crv: 'X25519' },
      { ...jwk, kid: 'enc', use: 'enc' },
      { ...jwk, kid: 'ops', key_ops: ['encrypt'] },
      { ...jwk, kid: 'alg', alg: 'RSA-OAEP' },
    ]
    const on = makeGuarded({ jwks: { keys: [...unsound, signer.publicJwk] } }, { signer, clock })
    expect(await reasonOf(signer.sign(good()), on)).toBe('accepted')
    expect(on.events).toContainEqual(
      expect.objectContaining({ type: 'jwks.refreshed', keys: 1, dropped: expect.any(Array) }),
    )
    for (const { kid } of unsound) {
      for (const each of [signer, signers.RS256, signers.EdDSA]) {
        expect(await reasonOf(each.sign(good(), { kid }), on)).toBe('unknown_key')
      }
    }
  })

  test('T19 refuses a signature with any byte changed, cut or added', async () => {
    for (const each of Object.values(signers)) {
      const [header, payload, signature = ''] = each.sign(good()).split('.')
      const bytes = Buffer.from(signature, 'base64url')
      for (let index = 0; index < bytes.length; index += 7) {
        const flipped = Buffer.from(bytes)
        flipped[index]! ^= 1 << (index % 8)
        expect(await reasonOf(`${header}.${payload}.${base64url(flipped)}`)).toBe('signature')
      }
      for (const changed of [
        bytes.subarray(0, -1),
        bytes.subarray(1),
        Buffer.concat([bytes, bytes]),
        Buffer.concat([Buffer.alloc(1), bytes]),
      ]) {
        expect(await reasonOf(`${header}.${payload}.${base64url(changed)}`)).toBe('signature')
      }
    }
  })

  const head = JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: signer.kid })
  const body = JSON.stringify(good())
  test.each([
    ['no JSON', 'hello'],
    ['nothing but space', ' '],
    ['an array', `[${body}]`],
    ['a string', JSON.stringify(body)],
    ['null', 'null'],
    ['a number', '42'],
    ['true', 'true'],
    ['garbage at the end', `${body}x`],
    ['two objects', body + body],
    ['a comment', `${body}//`],
    ['a NaN', body.replace('}', ',"x":NaN}')],
    ['an Infinity', body.replace('}', ',"x":Infinity}')],
    ['single quotes', "{'iss':1}"],
    ['a comma at the end', body.replace('}', ',}')],
    ['a byte order mark', `\ufeff${body}`],
    ['a NUL at the end', `${body}\u0000`],
  ])('T20 refuses a payload, and a header, that is %s', async (_name, text) => {
    expect(await reasonOf(signer.signText(head, text))).toBe('malformed')
    const asHeader = text.replace(body, head)
    expect(await reasonOf(signer.signText(asHeader, body))).toBe('malformed')
  })

  test('T20 answers deep nesting and long strings within milliseconds', async () => {
    const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    const texts = [
      deep(2900),
      '{"a":'.repeat(900) + '1' + '}'.repeat(900),
      JSON.stringify('x'.repeat(5500)),
    ]
    for (const text of texts) {
      const startedAt = performance.now()
      const token = signer.signText(head, body.replace(/}$/, `,"x":${text}}`))
      expect(token.length).toBeLessThanOrEqual(8192)
      expect(await reasonOf(token)).toBe('accepted')
      expect(performance.now() - startedAt).toBeLessThan(250)
    }
    expect(await reasonOf(signer.signText(head, deep(10_000)))).toBe('malformed')
    expect(await reasonOf(signer.signText(head, 'x'.repeat(1_000_000)))).toBe('malformed')
  })

  test('T21 refuses invalid UTF-8 and lone surrogates in ids', async () => {
    const before = Buffer.from(body.replace(/"sub":"[^"]*"/, '"sub":"@"'))
    const at = before.indexOf('@')
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf5, 0x80]]) {
      const text = Buffer.concat([
        before.subarray(0, at),
        Buffer.from(bytes),
        before.subarray(at + 1),
      ])
      expect(await reasonOf(signer.signText(head, text))).toBe('malformed')
      expect(
        await reasonOf(
          signer.signText(Buffer.concat([Buffer.from(bytes), Buffer.from(head)]), body),
        ),
      ).toBe('malformed')
    }
    for (const name of ['sub', 'jti', 'sid', 'client_id', 'azp']) {
      for (const id of ['\ud800', '\ud801', 'a\udfff', '\udc00\ud800']) {
        expect(await reasonOf(signer.sign(good({ [name]: id })))).toBe('claims')
      }
      expect(await reasonOf(signer.sign(good({ [name]: '\ud83d\ude00' })))).toBe('accepted')
    }
  })

  test('T22 verifies and hands on the same, last, of two equal members', async () => {
    const twice = (first: string) => head.replace('{', `{"alg":"${first}",`)
    expect(await reasonOf(signer.signText(twice('none'), body))).toBe('accepted')
    expect(await reasonOf(signer.signText(head.replace(/}$/, ',"alg":"none"}'), body))).toBe(
      'algorithm',
    )
    const { auth } = await guarded.ask(
      signer.signText(head, body.replace(/}$/, ',"sub":"second"}')),
    )
    expect([auth?.subject, auth?.payload.sub]).toEqual(['second', 'second'])
    expect(await reasonOf(signer.signText(head, body.replace(/}$/, ',"exp":1}')))).toBe('expired')
  })

  test.each(['JWT', 'jwt', 'at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/JWT', undefined])(
    'T23 takes the typ %j by default',
    async (typ) => {
      expect(await reasonOf(signer.sign(good(), { typ }))).toBe('accepted')
    },
  )
  test.each([
    'logout+jwt',
    'dpop+jwt',
    'id_token+jwt',
    'JWS',
    '',
    ' at+jwt',
    'at+jwt;v=1',
    null,
    1,
    ['at+jwt'],
    {},
  ])('T23 refuses the typ %j always', async (typ) => {
    expect(await reasonOf(signer.sign(good(), { typ }))).toBe('type')
  })
  test('T23 strict takes at+jwt in both spellings and nothing else', async () => {
    const strict = makeGuarded({ strict: true }, { signer, clock })
    for (const typ of ['at+jwt', 'AT+jwt', 'application/at+jwt']) {
      expect(await reasonOf(signer.sign(good(), { typ }), strict)).toBe('accepted')
    }
    for (const typ of ['JWT', undefined, 'application/jwt', 'at']) {
      expect(await reasonOf(signer.sign(good(), { typ }), strict)).toBe('type')
    }
  })
  test('T23 refuses what looks like an ID token or a logout token', async () => {
    const header = { typ: 'JWT' }
    for (const name of ['nonce', 'at_hash', 'c_hash', 's_hash', 'events']) {
      for (const value of ['x', '', null, {}, false]) {
        expect(await reasonOf(signer.sign(good({ [name]: value }), header))).toBe('type')
      }
    }
    for (const other of [
      { typ: 'ID' },
      { typ: 'Refresh' },
      { typ: 'Logout' },
      { token_use: 'id' },
    ]) {
      expect(await reasonOf(signer.sign(good(other), header))).toBe('type')
      expect(await reasonOf(signer.sign(good(other)))).toBe('type')
    }
  })
  test('T23 takes an access token that says so, though its provider copies claims of an ID token', async () => {
    expect(await reasonOf(signer.sign(good({ nonce: 'n', at_hash: 'h' })))).toBe('accepted')
    for (const own of [{ typ: 'Bearer' }, { token_use: 'access' }]) {
      const token = signer.sign(good({ nonce: 'n', ...own }), { typ: 'JWT' })
      expect(await reasonOf(token)).toBe('accepted')
    }
  })

  test.each([
    ['https://other.test'],
    [`${audience}/`],
    [`${audience}.evil.test`],
    ['https://api'],
    [audience.toUpperCase()],
    [` ${audience}`],
    [''],
    [[]],
    [[[audience]]],
    [{}],
    [{ 0: audience, length: 1 }],
    [null],
    [7],
    [true],
    [undefined],
    [[audience, 7]],
    [[audience, null]],
    [[audience.slice(0, -1)]],
  ])('T24 refuses the aud %j', async (aud) => {
    expect(await reasonOf(signer.sign(good({ aud })))).toBe('audience')
  })
  test('T24 finds ours as one member of a large array', async () => {
    const others = Array.from({ length: 1000 }, (_, index) => index.toString(36))
    expect(await reasonOf(signer.sign(good({ aud: others })))).toBe('audience')
    expect(await reasonOf(signer.sign(good({ aud: [...others.slice(1), audience] })))).toBe(
      'accepted',
    )
  })

  test.each([
    ['https://issuer'],
    [`${issuer}/`],
    [issuer.toUpperCase()],
    [['https://evil.test', issuer]],
    [[issuer]],
    [{}],
    [null],
    [''],
    [undefined],
    ['__proto__'],
    [`${issuer}.evil.test`],
  ])('T25 refuses the iss %j', async (iss) => {
    expect(await reasonOf(signer.sign(good({ iss })))).toBe('issuer')
  })
  test('T25 never lets the key of one trusted issuer vouch for another, same kid or not', async () => {
    const [a, b] = [makeSigner('ES256', 'same'), makeSigner('ES256', 'same')]
    const on = makeGuarded(
      {
        issuer: [
          { issuer: 'https://a.test', jwks: { keys: [a.publicJwk] } },
          {
            issuer: 'https://b.test',
            jwks: { keys: [b.publicJwk] },
            audience: 'https://b-api.test',
          },
        ],
      },
      { clock },
    )
    const ofA = { iss: 'https://a.test' }
    const ofB = { iss: 'https://b.test', aud: 'https://b-api.test' }
    expect(await reasonOf(a.sign(good(ofA)), on)).toBe('accepted')
    expect(await reasonOf(b.sign(good(ofB)), on)).toBe('accepted')
    expect(await reasonOf(b.sign(good(ofA)), on)).toBe('signature')
    expect(await reasonOf(a.sign(good(ofB)), on)).toBe('signature')
    expect(await reasonOf(b.sign(good({ ...ofB, aud: audience })), on)).toBe('audience')
    expect(await reasonOf(a.sign(good({ ...ofA, aud: 'https://b-api.test' })), on)).toBe('audience')
  })

  const now = clock.seconds
  test.each([
    ['absent', undefined, 'claims'],
    ['null', null, 'claims'],
    ['text', String(now + 60), 'claims'],
    ['true', true, 'claims'],
    ['an array', [], 'claims'],
    ['an object', {}, 'claims'],
    ['0', 0, 'expired'],
    ['-1', -1, 'expired'],
    ['1.5', 1.5, 'expired'],
    ['now minus the tolerance', now - 5, 'expired'],
    ['a millisecond more than that', now - 4.999, 'accepted'],
    ['now', now, 'accepted'],
    ['in 1e10', 1e10, 'accepted'],
    ['milliseconds by mistake', (now + 60) * 1000, 'accepted'],
    ['9e15', 9e15, 'accepted'],
  ])('T26 answers an exp that is %s', async (_name, exp, expected) => {
    expect(await reasonOf(signer.sign(good({ exp })))).toBe(expected)
  })
  test('T26 refuses an exp of 1e999, which JSON reads as Infinity', async () => {
    // Minus infinity is long ago, plus infinity is never yet; what is neither is no number for us.
    const expected = {
      exp: ['claims', 'expired'],
      nbf: ['not_yet_valid', 'claims'],
      iat: ['claims', 'claims'],
      // What cannot be ours counts as absent.
      session_version: ['accepted', 'accepted'],
    }
    for (const [name, reasons] of Object.entries(expected)) {
      const withNumber = (number: string) =>
        signer.signText(
          head,
          JSON.stringify(good({ [name]: 0.5 })).replace(`"${name}":0.5`, `"${name}":${number}`),
        )
      expect([await reasonOf(withNumber('1e999')), await reasonOf(withNumber('-1e999'))]).toEqual(
        reasons,
      )
    }
  })
  test('T26 with revocations refuses an exp beyond the time that kick-outs are kept', async () => {
    const on = makeGuarded(
      { revocations: memoryRevocations({ retentionSeconds: 3720 }) },
      { signer, clock },
    )
    expect(await reasonOf(signer.sign(good({ exp: now + 3710 })), on)).toBe('accepted')
    for (const exp of [now + 3711, 1e10, 9e15, (now + 60) * 1000]) {
      expect(await reasonOf(signer.sign(good({ exp })), on)).toBe('claims')
    }
  })

  test.each([
    ['nbf', null, 'claims'],
    ['nbf', '1', 'claims'],
    ['nbf', [], 'claims'],
    ['nbf', now + 5, 'accepted'],
    ['nbf', now + 6, 'not_yet_valid'],
    ['nbf', 0, 'accepted'],
    ['iat', null, 'claims'],
    ['iat', '1', 'claims'],
    ['iat', {}, 'claims'],
    ['iat', now + 5, 'accepted'],
    ['iat', now + 5.001, 'not_yet_valid'],
    ['iat', now + 700, 'not_yet_valid'],
    ['iat', undefined, 'accepted'],
  ])('T27 answers %s %j', async (name, value, expected) => {
    expect(await reasonOf(signer.sign(good({ [name]: value })))).toBe(expected)
  })
  test('T27 with revocations wants an iat', async () => {
    const on = makeGuarded({ revocations: memoryRevocations() }, { signer, clock })
    expect(await reasonOf(signer.sign(good({ iat: undefined })), on)).toBe('claims')
    expect(await reasonOf(signer.sign(good()), on)).toBe('accepted')
  })

  test('T28 wants ids to be text of 1 to 255 well-formed characters', async () => {
    for (const name of ['jti', 'sid', 'sub', 'client_id', 'azp']) {
      for (const value of [7, null, true, [], ['a'], {}, '', 'x'.repeat(256)]) {
        expect(await reasonOf(signer.sign(good({ [name]: value })))).toBe('claims')
      }
      for (const value of [
        ':',
        '}{',
        '*',
        '?',
        '[',
        '\r\n',
        '\u0000',
        '__proto__',
        'x'.repeat(255),
      ]) {
        expect(await reasonOf(signer.sign(good({ [name]: value })))).toBe('accepted')
      }
    }
    for (const value of ['1', null, [], {}, true]) {
      expect(await reasonOf(signer.sign(good({ session_version: value })))).toBe('accepted')
    }
  })

  test('T29 takes 8 192 bytes and refuses one more', async () => {
    for (const length of [8191, 8192]) {
      expect(await reasonOf(tokenOfLength(length))).toBe('accepted')
    }
    for (const length of [8193, 8194, 15_900, 65_536]) {
      expect(await reasonOf(tokenOfLength(length))).toBe('malformed')
    }
    const scopes = Array.from({ length: 100_000 }, (_, index) => `s${index}`).join(' ')
    expect(await reasonOf(signer.sign(good({ scope: scopes })))).toBe('malformed')
    expect(await reasonOf(signer.sign(good(), { pad: 'x'.repeat(8000) }))).toBe('malformed')
  })

  test('T30 refuses HMAC algorithms as an option, so that no secret can be weak', () => {
    for (const alg of ['HS256', 'HS384', 'HS512', 'none', 'dir']) {
      expect(() => makeGuarded({ algorithms: ['ES256', alg] })).toThrow(TypeError)
    }
  })

  test('T31 lets a retired key go with the next refresh, cached tokens included', async () => {
    const own = new FakeClock()
    const [old, next] = [makeSigner('ES256', 'old'), makeSigner('ES256', 'next')]
    let published = [old.publicJwk, next.publicJwk]
    const on = makeGuarded(
      { jwksUri: 'https://issuer.test/jwks' },
      { clock: own, fetch: async () => Response.json({ keys: published }) },
    )
    const token = old.sign(claimsAt(own.seconds))
    expect(await reasonOf(token, on)).toBe('accepted')
    published = [next.publicJwk]
    own.advance(31_000)
    expect(await reasonOf(token, on)).toBe('accepted')
    expect(await reasonOf(next.sign(claimsAt(own.seconds), { kid: 'newer' }), on)).toBe(
      'unknown_key',
    )
    expect(await reasonOf(token, on)).toBe('unknown_key')
    expect(await reasonOf(next.sign(claimsAt(own.seconds)), on)).toBe('accepted')
    await on.guard.close()
  })

  test.each([
    ['no object', 'null'],
    ['no keys', '{}'],
    ['an empty set', '{"keys":[]}'],
    ['keys that are no array', '{"keys":{}}'],
    ['a key that is no object', '{"keys":[null]}'],
    ['HTML', '<!doctype html>'],
    ['a symmetric key', JSON.stringify({ keys: [{ kty: 'oct', k: 'AAAA' }] })],
    ['a private key', JSON.stringify({ keys: [{ ...signer.publicJwk, d: 'AAAA' }] })],
    ['a CRT member', JSON.stringify({ keys: [{ ...signers.RS256.publicJwk, qi: 'AA' }] })],
    [
      '10 000 keys',
      JSON.stringify({ keys: Array.from({ length: 10_000 }, () => ({ kty: 'EC' })) }),
    ],
    ['a huge body', `{"keys":[],"x":"${'x'.repeat(524_288)}"}`],
  ])('T32 refuses a key set of %s and keeps the last good one', async (_name, text) => {
    const own = new FakeClock()
    let answer = JSON.stringify({ keys: [signer.publicJwk] })
    const on = makeGuarded(
      { jwksUri: 'https://issuer.test/jwks', maxCachedTokens: 0 },
      { clock: own, signer, fetch: async () => new Response(answer) },
    )
    expect(await reasonOf(on.token(), on)).toBe('accepted')
    answer = text
    own.advance(31_000)
    // The unknown kid makes it fetch; since that failed, the kid may be new.
    expect(await reasonOf(on.token({}, { kid: 'other' }), on)).toMatchObject({ status: 503 })
    expect(on.fetched).toHaveLength(2)
    expect(await reasonOf(on.token(), on)).toBe('accepted')
    await on.guard.close()
  })

  test('T32 one kid for keys of two types: each token is verified with the key of its algorithm', async () => {
    const rsa = { ...signers.RS256.publicJwk, kid: signer.kid }
    const on = makeGuarded({ jwks: { keys: [signer.publicJwk, rsa] } }, { signer, clock })
    expect(await reasonOf(on.token(), on)).toBe('accepted')
    expect(await reasonOf(signers.RS256.sign(good(), { kid: signer.kid }), on)).toBe('accepted')
    const other = { ...makeSigner('ES256', signer.kid).publicJwk }
    const torn = makeGuarded({ jwks: { keys: [signer.publicJwk, other, rsa] } }, { signer, clock })
    expect(await reasonOf(on.token(), torn)).toMatchObject({ status: 503 })
    expect(await reasonOf(signers.RS256.sign(good(), { kid: signer.kid }), torn)).toBe('accepted')
  })

  test('T33 fetches once per cool-down under a flood of unknown kids, and keeps known keys quick', async () => {
    const own = new FakeClock()
    let broken = false
    const on = makeGuarded(
      { jwksUri: 'https://issuer.test/jwks' },
      {
        clock: own,
        signer,
        fetch: async () => {
          if (broken) throw new Error('down')
          return Response.json({ keys: [signer.publicJwk] })
        },
      },
    )
    await on.guard.ready()
    const flood = async () =>
      Promise.all(
        Array.from({ length: 500 }, async (_, index) =>
          reasonOf(on.token({}, { kid: `random-${index}` }), on),
        ),
      )
    expect(new Set(await flood())).toEqual(new Set(['unknown_key']))
    // One for the keys, one for the flood.
    expect(on.fetched).toHaveLength(2)
    expect(new Set(await flood())).toEqual(new Set(['unknown_key']))
    expect(on.fetched).toHaveLength(2)
    own.advance(30_000)
    broken = true
    expect(new Set((await flood()).map((answer) => (answer as { status: number }).status))).toEqual(
      new Set([503]),
    )
    expect(on.fetched).toHaveLength(3)
    await flood()
    own.advance(29_999)
    await flood()
    expect(on.fetched).toHaveLength(3)
    expect(await reasonOf(on.token(), on)).toBe('accepted')
    own.advance(1)
    await flood()
    expect(on.fetched).toHaveLength(4)
    await on.guard.close()
  })

  test('T34 decides each time again: a refused token becomes good when its reason goes', async () => {
    const own = new FakeClock()
    const on = makeGuarded({}, { signer, clock: own })
    const early = on.token({ nbf: own.seconds + 60 })
    expect(await reasonOf(early, on)).toBe('not_yet_valid')
    own.advance(60_000)
    expect(await reasonOf(early, on)).toBe('accepted')
    const claims = claimsAt(own.seconds, { jti: 'shared' })
    expect(await reasonOf(makeSigner('ES256', signer.kid).sign(claims), on)).toBe('signature')
    expect(await reasonOf(signer.sign(claims), on)).toBe('accepted')
  })

  test('T35 refuses a token that is bound to a key', async () => {
    for (const cnf of [{ jkt: 'x' }, { 'x5t#S256': 'x' }, {}, null, 'x']) {
      expect(await reasonOf(signer.sign(good({ cnf })))).toBe('binding')
    }
  })

  test('T06 asks the network for nothing in all of the above', () => {
    expect(guarded.fetched).toEqual([])
  })
})

test('a forged token leaves no trace of itself in the error', async () => {
  const token = makeSigner('ES256', signer.kid).sign(good({ sub: 'who' }))
  const { error } = await run(guarded.guard, bearer(token))
  expect(decodeJwt(token).sub).toBe('who')
  expect(String((error as Error).stack)).not.toContain(token.slice(0, 20))
})

function toScalar(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}

function spellings(key: KeyObject): (string | Buffer)[] {
  const pem = key.export({ type: 'spki', format: 'pem' }).toString()
  const jwk = key.export({ format: 'jwk' })
  const isRsa = key.asymmetricKeyType === 'rsa'
  return [
    pem,
    pem.trim(),
    ` ${pem}`,
    key.export({ type: 'spki', format: 'der' }),
    JSON.stringify(jwk),
    ...(isRsa
      ? [
          createPublicKey(pem).export({ type: 'pkcs1', format: 'pem' }).toString(),
          Buffer.from(jwk.n ?? '', 'base64url'),
        ]
      : [Buffer.from(jwk.x ?? '', 'base64url')]),
    '',
  ]
}

/** A good token of exactly so many bytes: two paddings, since one alone cannot reach every length. */
function tokenOfLength(length: number): string {
  for (let inHeader = 0; inHeader < 8; inHeader++) {
    const make = (inPayload: number) =>
      signer.sign(good({ jti: 'long', pad: 'x'.repeat(inPayload) }), { pad: 'x'.repeat(inHeader) })
    const missing = length - make(0).length
    for (let more = Math.floor((missing * 3) / 4) - 3; more * 4 <= missing * 3 + 12; more++) {
      const token = make(Math.max(more, 0))
      if (token.length === length) return token
    }
  }
  throw new Error(`no token has ${length} bytes`)
}
