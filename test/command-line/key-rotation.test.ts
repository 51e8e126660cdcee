import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { expect, test } from '@jest/globals'
import type { Issuer } from '../../src/issuer/index.ts'
import { waitUntil } from '../support/wait.ts'
import { runCommand } from './support/built-command.ts'
import { encryptionKey, issuerName, useStage } from './support/stage.ts'

const stage = useStage()

interface Published {
  kid: string
  alg: string
}

/** What a resource server would fetch. */
async function serve(issuer: Issuer): Promise<() => Promise<Published[]>> {
  const server = createServer(express().use(issuer.router))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stage.closing({
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
  const { port } = server.address() as AddressInfo
  return async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/.well-known/jwks.json`)
    return ((await answer.json()) as { keys: Published[] }).keys
  }
}

test('every issuer publishes the next key, none signs with it yet, and nothing else is taken out', async () => {
  const { url } = await stage.redis()
  const published = await Promise.all(
    [1, 2].map(async () => serve(await stage.storedKeysIssuer(url, 'EdDSA'))),
  )
  const [before] = await published[0]!()
  const ran = await runCommand(['keys', 'rotate', '--issuer', issuerName, '--json'], {
    env: {
      KICKOUT_REDIS_URL: url,
      KICKOUT_ENCRYPTION_KEY: JSON.stringify([encryptionKey, 'x'.repeat(32)]),
    },
  })
  expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
  const { kid, alg, signs_at: signsAt } = ran.json<{ kid: string; alg: string; signs_at: number }>()
  expect(alg).toBe('EdDSA')
  expect(signsAt - Date.now()).toBeGreaterThan(1_100_000)
  for (const keysOf of published) {
    await waitUntil(async () => (await keysOf()).some((key) => key.kid === kid), {
      what: 'the next key to be published',
      timeoutMs: 12_000,
      everyMs: 100,
    })
    expect(await keysOf()).toContainEqual(expect.objectContaining({ kid: before?.kid }))
  }
  expect(ran.stdout).not.toContain('"d"')
})

test('is refused with another encryption key, for another issuer, and without a key', async () => {
  const { url } = await stage.redis()
  await stage.storedKeysIssuer(url)
  const rotate = async (env: Record<string, string>, ...flags: string[]) =>
    runCommand(['keys', 'rotate', '--issuer', issuerName, ...flags], {
      env: { KICKOUT_REDIS_URL: url, ...env },
    })
  const other = 'another key of thirty-two bytes or more, for tests'
  const wrong = await rotate({ KICKOUT_ENCRYPTION_KEY: other })
  expect(wrong).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('another key') })
  expect(wrong.stderr).not.toContain(other)
  const right = { KICKOUT_ENCRYPTION_KEY: encryptionKey }
  const elsewhere = await runCommand(['keys', 'rotate', '--issuer', 'https://other.example'], {
    env: { KICKOUT_REDIS_URL: url, ...right },
  })
  expect(elsewhere).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('no signing key'),
  })
  expect(await rotate({})).toMatchObject({ exitCode: 2 })
  expect(await rotate({ KICKOUT_ENCRYPTION_KEY: '[oops' })).toMatchObject({ exitCode: 2 })
  expect(await rotate({ KICKOUT_ENCRYPTION_KEY: 'short' })).toMatchObject({ exitCode: 2 })
  expect(await rotate(right, '--alg', 'HS256')).toMatchObject({ exitCode: 2 })
  expect(await rotate(right, '--prefix', 'other')).toMatchObject({ exitCode: 1 })
})
