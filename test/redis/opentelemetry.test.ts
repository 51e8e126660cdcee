import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { instrument } from '../../src/opentelemetry/index.ts'
import { redisRevocations } from '../../src/redis/index.ts'
import { collectMetrics, type Metrics } from '../support/collected-metrics.ts'
import { waitUntil } from '../support/wait.ts'
import { issuer } from './support/deployment.ts'
import { useServers } from './support/servers.ts'

const { closing, startBehindProxy, template } = useServers()
const state = 'express_kickout.revocations.state'
const duration = 'express_kickout.kick_out.duration'

let metrics: Metrics

beforeEach(() => {
  metrics = collectMetrics()
})

afterEach(async () => {
  await metrics.close()
})

test('a copy that loses Redis turns stale, and its proof ages', async () => {
  const { proxy } = await startBehindProxy()
  const revocations = closing(
    redisRevocations(template(proxy), { issuer, maxStalenessMs: 500, whenStale: 'reject' }),
  )
  instrument({ revocations, meterProvider: metrics.provider })
  expect(await metrics.valueOf(state, { state: 'starting' })).toBe(1)
  expect((await metrics.collect())['express_kickout.revocations.staleness']?.points ?? []).toEqual(
    [],
  )
  await revocations.ready()
  expect(await metrics.valueOf(state, { state: 'live' })).toBe(1)
  expect(await metrics.valueOf('express_kickout.revocations.staleness')).toBeLessThan(0.5)

  proxy.blackhole()
  await waitUntil(async () => (await metrics.valueOf(state, { state: 'stale' })) === 1, {
    what: 'the copy to turn stale',
    timeoutMs: 5000,
  })
  expect(await metrics.valueOf(state, { state: 'live' })).toBe(0)
  expect(await metrics.valueOf('express_kickout.revocations.staleness')).toBeGreaterThan(0.5)
})

test('a kick-out that a silent server has not confirmed counts that server', async () => {
  const { server, proxy } = await startBehindProxy()
  const writer = closing(redisRevocations(template(server), { issuer }))
  const silent = closing(redisRevocations(template(proxy), { issuer }))
  instrument({ revocations: writer, meterProvider: metrics.provider })
  await silent.ready()
  await writer.kickOut({ subject: 'u1' })
  expect(await metrics.valueOf('express_kickout.kick_out.unconfirmed')).toBe(0)
  proxy.blackhole()
  const { unconfirmed } = await writer.kickOut({ subject: 'u2' }, { confirmTimeoutMs: 100 })
  expect(unconfirmed).toHaveLength(1)
  expect(await metrics.valueOf('express_kickout.kick_out.unconfirmed')).toBe(1)
  expect(await metrics.valueOf(duration, { level: 'subject' })).toBe(2)
})

test('a kick-out that Redis did not take counts as a failure, and is an event', async () => {
  const { server } = await startBehindProxy()
  const events: string[] = []
  const onEvent = ({ type }: { type: string }) => events.push(type)
  const revocations = closing(redisRevocations(template(server), { issuer, onEvent }))
  instrument({ revocations, meterProvider: metrics.provider })
  await revocations.kickOut({ subject: 'u1' })
  server.pause()
  await expect(revocations.kickOut({ client: 'c1' })).rejects.toMatchObject({ status: 503 })
  server.resume()
  const failed = { level: 'client', 'error.type': 'revocations' }
  expect(await metrics.valueOf(duration, failed)).toBe(1)
  expect(await metrics.valueOf(duration, { level: 'subject' })).toBe(1)
  expect(events).toContain('kickout.failed')
})
