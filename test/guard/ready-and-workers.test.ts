import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { requireAuth } from '../../src/index.ts'
import { issuer } from '../support/make-token.ts'

test('N2 ready({ timeoutMs }) rejects in time and names what is missing', async () => {
  const fetch = async () => Promise.reject(new Error('down'))
  const guard = requireAuth({ issuer, audience: 'x', jwksUri: 'https://issuer.test/k', fetch })
  await expect(guard.ready({ timeoutMs: 50 })).rejects.toMatchObject({
    status: 503,
    reason: 'jwks',
    message: 'Not ready within 50 ms: missing are keys of the issuer',
  })
  await guard.close()
})

test('50 revocations in memory, in a worker of node:cluster, are an event', () => {
  const source = join(import.meta.dirname, '../../src/index.ts')
  const program = `
    import cluster from 'node:cluster'
    const { memoryRevocations, requireAuth } = await import(${JSON.stringify(`file://${source}`)})
    const issuer = 'https://issuer.test'
    const seen = []
    requireAuth({ issuer, audience: 'x', revocations: memoryRevocations({ issuer }), onEvent: (event) => seen.push(event.type) })
    console.log(cluster.isWorker, JSON.stringify(seen))
  `
  const said = (env: object) =>
    spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      cwd: join(import.meta.dirname, '../..'),
      encoding: 'utf8',
      env: { ...process.env, ...env },
    }).stdout.trim()
  expect(said({})).toBe('false []')
  // What a primary of node:cluster sets for its workers.
  expect(said({ NODE_UNIQUE_ID: '1' })).toBe('true ["revocations.per_process"]')
}, 30_000)
