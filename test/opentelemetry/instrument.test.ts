import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { metrics as globalMetrics } from '@opentelemetry/api'
import express from 'express'
import {
  type AuthHandler,
  authErrorHandler,
  memoryRevocations,
  requireAuth,
  requireScope,
} from '../../src/index.ts'
import { instrument, type InstrumentOptions } from '../../src/opentelemetry/index.ts'
import { createTestIssuer, type TestIssuer } from '../../src/testing/index.ts'
import { collectMetrics, type Metrics } from '../support/collected-metrics.ts'
import { listen, type Listening, send } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit } from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** The list of the contract: name, unit, kind and the attributes that may stand on it. */
const CONTRACT: Record<string, { unit: string; kind: string; attributes: string[] }> = {
  'express_kickout.auth.requests': {
    unit: '{request}',
    kind: 'counter',
    attributes: ['error.type', 'outcome'],
  },
  'express_kickout.jwks.fetch.duration': {
    unit: 's',
    kind: 'histogram',
    attributes: ['error.type'],
  },
  'express_kickout.revocations.staleness': { unit: 's', kind: 'gauge', attributes: [] },
  'express_kickout.revocations.entries': { unit: '{revocation}', kind: 'gauge', attributes: [] },
  'express_kickout.revocations.state': { unit: '', kind: 'gauge', attributes: ['state'] },
  'express_kickout.kick_out.duration': {
    unit: 's',
    kind: 'histogram',
    attributes: ['error.type', 'level'],
  },
  'express_kickout.kick_out.unconfirmed': { unit: '{server}', kind: 'counter', attributes: [] },
  'express_kickout.token.refreshes': {
    unit: '{refresh}',
    kind: 'counter',
    attributes: ['result'],
  },
}
const requests = 'express_kickout.auth.requests'
const refreshes = 'express_kickout.token.refreshes'

closeKitsAfterEach()

let metrics: Metrics
const stops: (() => unknown)[] = []

beforeEach(() => {
  metrics = collectMetrics()
})

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
  await metrics.close()
})

function start(options: InstrumentOptions): () => void {
  const stop = instrument({ meterProvider: metrics.provider, ...options })
  stops.push(stop)
  return stop
}

async function serve(guard: AuthHandler): Promise<Listening> {
  const app = express()
  app.get('/', guard, (_req, res) => void res.end())
  app.get('/scoped', guard, requireScope('reports:read'), (_req, res) => void res.end())
  app.use(authErrorHandler())
  const server = await listen(app)
  stops.push(async () => server.close())
  stops.push(async () => guard.close())
  return server
}

function bearer(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } }
}

describe('requests', () => {
  let issuer: TestIssuer
  let guard: AuthHandler
  let url: string

  beforeEach(async () => {
    issuer = createTestIssuer()
    guard = requireAuth(issuer.options)
    ;({ url } = await serve(guard))
    start({ guards: [guard] })
  })

  test('are counted by outcome, and refusals by their reason', async () => {
    const token = await issuer.token({ subject: 'u1' })
    for (let round = 0; round < 3; round++) await send(url, bearer(token))
    await send(url)
    await send(url, bearer(await issuer.token({ expired: true })))
    await send(url, bearer('no.to.ken'))
    await send(`${url}/scoped`, bearer(token))
    await issuer.kickOut({ subject: 'u1' })
    await send(url, bearer(token))
    issuer.unavailable(true)
    expect((await send(url, bearer(await issuer.token({ subject: 'u2' })))).status).toBe(503)

    const { [requests]: found } = await metrics.collect()
    const counted = Object.fromEntries(
      (found?.points ?? []).map(({ attributes, value }) => [
        [attributes['outcome'], attributes['error.type']].join(' ').trim(),
        value,
      ]),
    )
    expect(counted).toEqual({
      accepted: 4,
      'rejected missing': 1,
      'rejected expired': 1,
      'rejected malformed': 1,
      'rejected revoked': 1,
      'forbidden scope': 1,
      'unavailable revocations': 1,
    })
    expect(guard.stats()).toMatchObject({
      accepted: 4,
      anonymous: 0,
      rejected: { missing: 1, expired: 1, malformed: 1, revoked: 1 },
      unavailable: { revocations: 1 },
      forbidden: { scope: 1 },
      failed: 0,
    })
  })

  test('that authenticate() judges are counted too', async () => {
    const req = { headers: {}, rawHeaders: [] }
    await guard.authenticate(req, { token: await issuer.token() })
    await expect(guard.authenticate(req)).rejects.toMatchObject({ reason: 'missing' })
    expect(await metrics.valueOf(requests, { outcome: 'accepted' })).toBe(1)
    expect(await metrics.valueOf(requests, { outcome: 'rejected', 'error.type': 'missing' })).toBe(
      1,
    )
  })

  test('of several guards are added up', async () => {
    const second = requireAuth({ ...issuer.options, credentials: 'optional' })
    const other = await serve(second)
    const both = collectMetrics()
    stops.push(async () => both.close())
    start({ guards: [guard, second], meterProvider: both.provider })
    const token = await issuer.token()
    await send(url, bearer(token))
    await send(other.url, bearer(token))
    await send(other.url)
    expect(await both.valueOf(requests, { outcome: 'accepted' })).toBe(2)
    expect(await both.valueOf(requests, { outcome: 'anonymous' })).toBe(1)
  })

  test('that an application fails are told apart from refusals', async () => {
    const failing = requireAuth({
      ...issuer.options,
      getToken: () => {
        throw new Error('of the application')
      },
    })
    const { url: failingUrl } = await serve(failing)
    expect((await send(failingUrl)).status).toBe(500)
    expect(failing.stats().failed).toBe(1)
  })
})

describe('key fetches', () => {
  test('are timed, and failures are told by error.type', async () => {
    let isDown = false
    const { options } = createTestIssuer()
    const keys = await listen((_req, res) => {
      res.statusCode = isDown ? 500 : 200
      res.end(JSON.stringify(options.jwks))
    })
    stops.push(async () => keys.close())
    const { jwks: _given, ...others } = options
    const make = () => requireAuth({ ...others, revocations: false, jwksUri: `${keys.url}/jwks` })
    const [good, bad] = [make(), make()]
    stops.push(async () => good.close())
    stops.push(async () => bad.close())
    start({ guards: [good, bad] })
    await good.ready()
    isDown = true
    await expect(bad.ready({ timeoutMs: 200 })).rejects.toMatchObject({ reason: 'jwks' })

    const { 'express_kickout.jwks.fetch.duration': found } = await metrics.collect()
    expect(found?.points).toEqual([
      { attributes: {}, value: 1, sum: expect.any(Number) },
      { attributes: { 'error.type': 'jwks' }, value: 1, sum: expect.any(Number) },
    ])
    expect(found?.points[0]?.sum).toBeLessThan(5)
    expect(good.stats().jwks).toEqual({ fetched: 1, failed: 0 })
    expect(bad.stats().jwks).toEqual({ fetched: 0, failed: 1 })
  })

  test('are none where keys were given', async () => {
    const guard = requireAuth(createTestIssuer().options)
    stops.push(async () => guard.close())
    start({ guards: guard })
    await guard.ready()
    expect(guard.stats().jwks).toEqual({ fetched: 0, failed: 0 })
  })
})

describe('revocations', () => {
  test('show their state, entries and the age of the proof', async () => {
    const revocations = memoryRevocations({ issuer: 'https://login.example.com' })
    start({ revocations })
    await revocations.kickOut({ subject: 'u1' })
    const state = 'express_kickout.revocations.state'
    expect(await metrics.valueOf(state, { state: 'live' })).toBe(1)
    expect(await metrics.valueOf(state, { state: 'stale' })).toBe(0)
    expect(await metrics.valueOf('express_kickout.revocations.entries')).toBe(1)
    await revocations.close()
    const { [state]: found } = await metrics.collect()
    expect(found?.points.map(({ attributes, value }) => [attributes['state'], value])).toEqual([
      ['starting', 0],
      ['live', 0],
      ['stale', 0],
      ['closed', 1],
    ])
  })

  test('time their kick-outs by level', async () => {
    const revocations = memoryRevocations({ issuer: 'https://login.example.com' })
    start({ revocations })
    await revocations.kickOut({ subject: 'u1' })
    await revocations.kickOut({ session: 's1' })
    await revocations.kickOut({ session: 's2' })
    const { 'express_kickout.kick_out.duration': found } = await metrics.collect()
    expect(found?.points).toMatchObject([
      { attributes: { level: 'subject' }, value: 1 },
      { attributes: { level: 'session' }, value: 2 },
    ])
    expect(await metrics.valueOf('express_kickout.kick_out.unconfirmed')).toBe(0)
  })
})

describe('an issuer', () => {
  test('counts refreshes by result, and a kick-out once, whichever way it was passed', async () => {
    const clock = new FakeClock(Date.now())
    const kit = await createKit({ clock })
    start({ issuer: kit.issuer, revocations: kit.issuer.revocations })
    const { refresh_token: first } = await kit.startSession()
    const second = (await kit.refresh(first)).json.refresh_token as string
    await kit.refresh(first)
    await kit.refresh(second)
    await kit.refresh(`${second.slice(0, -4)}AAAA`)
    await kit.refresh(second, { scope: 'never:granted' })
    await kit.refresh(first)
    await kit.refresh(second)
    const { [refreshes]: found } = await metrics.collect()
    const counted = (found?.points ?? []).filter(({ value }) => value > 0)
    expect(counted.map(({ attributes, value }) => [attributes['result'], value])).toEqual([
      ['refreshed', 2],
      ['retried', 1],
      ['reused', 1],
      ['unknown', 1],
      ['ended', 1],
      ['scope', 1],
    ])
    expect(found?.points).toHaveLength(Object.keys(kit.issuer.stats().refreshes).length)

    await kit.issuer.kickOut({ subject: 'u1' })
    expect(await metrics.valueOf('express_kickout.kick_out.duration', { level: 'subject' })).toBe(1)
  })

  test('counts a refresh that a dependency failed as unavailable', async () => {
    const kit = await createKit({
      issuer: { claims: () => Promise.reject(new Error('the database is away')) },
    })
    const { issuer } = kit
    start({ issuer })
    const session = await createKit({ store: kit.store, issuer: { issuer: kit.base } })
    const { refresh_token: token } = await session.startSession()
    expect((await kit.refresh(token)).status).toBe(503)
    expect(await metrics.valueOf(refreshes, { result: 'unavailable' })).toBe(1)
  })
})

test('every metric of the contract is there, with its unit, and no other', async () => {
  const kit = await createKit()
  const guard = requireAuth({
    ...createTestIssuer().options,
    revocations: kit.issuer.revocations,
    issuer: kit.base,
  })
  stops.push(async () => guard.close())
  const keys = await listen((_req, res) => void res.end(JSON.stringify({ keys: [] })))
  stops.push(async () => keys.close())
  const { revocations } = kit.issuer
  const failing = requireAuth({ issuer: kit.base, audience: 'a', jwksUri: keys.url, revocations })
  stops.push(async () => failing.close())
  start({ guards: [guard, failing], revocations, issuer: kit.issuer })
  await expect(failing.ready({ timeoutMs: 100 })).rejects.toThrow()
  const { access_token: token, session_id: sid } = await kit.startSession({ subject: 'u1' })
  await expect(guard.authenticate({ headers: {}, rawHeaders: [] }, { token })).rejects.toThrow()
  await kit.issuer.kickOut({ session: sid })

  const collected = await metrics.collect()
  expect(Object.keys(collected).sort()).toEqual(Object.keys(CONTRACT).sort())
  for (const [name, { unit, kind, points }] of Object.entries(collected)) {
    const { attributes: allowed, ...described } = CONTRACT[name]!
    expect({ unit, kind }).toEqual(described)
    const used = new Set(points.flatMap(({ attributes }) => Object.keys(attributes)))
    expect(allowed).toEqual(expect.arrayContaining([...used]))
  }
  const text = JSON.stringify(collected)
  for (const secret of ['u1', sid, token]) expect(text).not.toContain(secret)
})

test('nothing is observed and there are no listeners after it was stopped', async () => {
  const revocations = memoryRevocations({ issuer: 'https://issuer.test' })
  const guard = requireAuth({ ...createTestIssuer().options, revocations })
  stops.push(async () => guard.close())
  const stop = start({ guards: [guard], revocations })
  await revocations.kickOut({ subject: 'u1' })
  stop()
  await revocations.kickOut({ subject: 'u2' })
  const collected = await metrics.collect()
  expect(collected['express_kickout.kick_out.duration']?.points).toMatchObject([{ value: 1 }])
  expect(collected['express_kickout.revocations.entries']?.points ?? []).toEqual([])
})

test('the provider that the application has registered is used unless another is given', async () => {
  globalMetrics.setGlobalMeterProvider(metrics.provider)
  stops.push(() => globalMetrics.disable())
  const revocations = memoryRevocations()
  stops.push(instrument({ revocations }))
  expect(await metrics.valueOf('express_kickout.revocations.state', { state: 'live' })).toBe(1)
})

test.each<[string, object, RegExp]>([
  ['nothing', {}, /at least one of guards, revocations and issuer/],
  ['an unknown option', { guard: [] }, /unknown option "guard", did you mean "guards"/],
  ['a guard of another package', { guards: [() => undefined] }, /option "guards"/],
  ['options instead of revocations', { revocations: {} }, /option "revocations"/],
  ['options instead of an issuer', { issuer: {} }, /option "issuer"/],
  ['no provider', { revocations: memoryRevocations(), meterProvider: {} }, /"meterProvider"/],
])('%s is refused', (_name, options, message) => {
  expect(() => instrument(options as InstrumentOptions)).toThrow(message)
  expect(() => instrument(options as InstrumentOptions)).toThrow(TypeError)
})
