import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import express from 'express'
import { authErrorHandler } from '../../src/index.ts'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { expressVersions } from '../support/express-versions.ts'
import { makeGuarded } from '../support/guarded.ts'
import { getRequest, sendRaw, serve } from '../support/raw-http.ts'
import { claimsAt, issuer, makeSigner } from '../support/make-token.ts'

/** One refused token of every kind, with the reason that only the log learns. */
async function refusals() {
  const clock = new FakeClock(Date.now())
  const revocations = memoryRevocations({ issuer })
  const guarded = makeGuarded({ revocations }, { clock })
  const secret = { email: 'someone@private.test' }
  const dead = guarded.token({ ...secret, sid: 'dead' })
  await revocations.kickOut({ session: 'dead' }, { reason: 'fraud suspected' })
  const tokens = {
    revoked: dead,
    expired: guarded.token({ ...secret, exp: clock.seconds - 60 }),
    audience: guarded.token({ ...secret, aud: 'https://other.test' }),
    issuer: guarded.token({ ...secret, iss: 'https://other.test' }),
    claims: guarded.token({ ...secret, sub: 7 }),
    not_yet_valid: guarded.token({ ...secret, nbf: clock.seconds + 60 }),
    unknown_key: guarded.token(secret, { kid: 'who' }),
    signature: makeSigner('ES256', guarded.signer.kid).sign(claimsAt(clock.seconds, secret)),
    type: guarded.token({ ...secret, events: {} }),
    binding: guarded.token({ ...secret, cnf: {} }),
    algorithm: guarded.token(secret, { alg: 'HS256' }),
    malformed: guarded.signer.signText('{"alg":"ES256"', JSON.stringify(secret)),
  }
  return { guarded, tokens }
}

describe('what leaves the guard (1.8)', () => {
  test('L03 neither an error nor an event holds any part of a token or of what it says', async () => {
    const { guarded, tokens } = await refusals()
    for (const [reason, token] of Object.entries(tokens)) {
      const { error } = await guarded.ask(token)
      expect(error).toMatchObject({ reason })
      const log = inspect(error, { depth: 20, showHidden: true })
      for (const part of token.split('.')) expect(log).not.toContain(part.slice(0, 24))
      expect(log).not.toContain('private.test')
    }
    const events = inspect(guarded.events, { depth: 20 })
    for (const token of Object.values(tokens)) expect(events).not.toContain(token.slice(-24))
    expect(events).not.toContain('private.test')
    expect(guarded.events.filter(({ type }) => type === 'auth.rejected')).toHaveLength(
      Object.keys(tokens).length,
    )
  })

  test('L04 L06 outsiders get one and the same answer for every bad token, kicked out or expired', async () => {
    const { guarded, tokens } = await refusals()
    const server = await serve(express().use(guarded.guard).use(authErrorHandler()))
    const answers = new Set<string>()
    for (const token of Object.values(tokens)) {
      const answer = await sendRaw(server.port, getRequest([`Authorization: Bearer ${token}`]))
      answers.add(`${answer.status} ${answer.headers['www-authenticate']} ${answer.body}`)
    }
    expect(answers.size).toBe(1)
    expect([...answers][0]).toBe(
      '401 Bearer realm="api", error="invalid_token", error_description="The access token is malformed, expired, ' +
        'revoked or not meant for this server" {"error":"invalid_token","error_description":"The access token is ' +
        'malformed, expired, revoked or not meant for this server"}',
    )
    await server.close()
  })

  test.each(expressVersions)(
    'L04 the private reason of a kick-out is in no error, so the default handler of %s neither shows nor prints it',
    async (_name, make) => {
      const { guarded, tokens } = await refusals()
      // As in development: its page holds the stack, and so the message.
      const app = make().use(guarded.guard).set('env', 'test')
      const server = await serve(app)
      const answer = await sendRaw(
        server.port,
        getRequest([`Authorization: Bearer ${tokens.revoked}`]),
      )
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toContain('error="invalid_token"')
      expect(answer.body).toContain('Kicked out')
      expect(answer.body).not.toContain('fraud')
      const { error } = await guarded.ask(tokens.revoked)
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('fraud')
      await server.close()
    },
  )

  test('L05 a refusal is never stored: it has no validator and no lifetime', async () => {
    const { guarded } = await refusals()
    const { headers } = await guarded.ask('a.b.c')
    expect(headers).toEqual({
      'WWW-Authenticate': expect.any(String),
      'Access-Control-Expose-Headers': 'WWW-Authenticate',
    })
  })
})
