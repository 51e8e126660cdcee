import { expect, test } from '@jest/globals'
import { redisRevocations } from '../../src/redis/index.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { waitUntil } from '../support/wait.ts'
import { claimsOf, issuer, useCleanup } from './support/deployment.ts'

const { closing } = useCleanup()

async function start(minReplicas: number) {
  const deployment = closing(await startSentinel())
  const template = deployment.client({ lazyConnect: true })
  const options = { issuer, maxStalenessMs: 1_000, whenStale: 'reject', minReplicas } as const
  const nodes = [
    closing(redisRevocations(template, options)),
    closing(redisRevocations(template, options)),
  ] as const
  await Promise.all(nodes.map(async (node) => node.ready()))
  return { deployment, template, nodes, options }
}

test('F10 the primary is killed: what was confirmed stays revoked, and servers are live within 3 s of the promotion', async () => {
  const { deployment, template, nodes, options } = await start(1)
  const [writer, reader] = nodes
  await writer.kickOut({ subject: 'out' })
  await deployment.primary.kill9()
  await waitUntil(() => nodes.every((node) => node.status().state === 'stale'), {
    what: 'both to notice',
  })
  expect(() => reader.check(claimsOf({ sub: 'u1' }))).toThrow(
    expect.objectContaining({ status: 503 }),
  )
  expect(reader.check(claimsOf({ sub: 'out' }))).toMatchObject({ revoked: true })
  await deployment.waitForPromotion()
  await waitUntil(() => nodes.every((node) => node.status().state === 'live'), {
    what: 'both to be live',
    timeoutMs: 3_000,
  })
  const booted = closing(redisRevocations(template, { ...options, minReplicas: 0 }))
  await booted.ready()
  expect(booted.check(claimsOf({ sub: 'out' }))).toMatchObject({ revoked: true })
  // There is no replica left to have it.
  await expect(writer.kickOut({ subject: 'later' })).rejects.toMatchObject({
    status: 503,
    message: expect.stringContaining('safe to repeat'),
  })
}, 60_000)

test('F12 the primary hangs: servers leave it, and believe it no more when it wakes up', async () => {
  const { deployment, nodes, template } = await start(0)
  const [writer, reader] = nodes
  await writer.kickOut({ subject: 'out' })
  // An issuer that only writes, and follows no log that could tell it.
  const writesOnly = closing(redisRevocations(template, { issuer }))
  await writesOnly.kickOut({ subject: 'first' })
  deployment.primary.pause()
  await deployment.waitForPromotion()
  await waitUntil(() => nodes.every((node) => node.status().state === 'live'), {
    what: 'both to be live',
    timeoutMs: 3_000,
  })
  deployment.primary.resume()
  for (const [index, by] of [writer, writesOnly].entries()) {
    const subject = `later ${index}`
    await waitUntil(async () => by.kickOut({ subject }), { what: 'a kick-out' })
    await waitUntil(async () => (await reader.check(claimsOf({ sub: subject }))).revoked, {
      what: `${subject} to arrive`,
    })
  }
}, 60_000)
