import { expect, test } from '@jest/globals'
import { UnavailableError } from '../../src/errors.ts'
import { ClientChecks } from '../../src/issuer/client-checks.ts'
import type { RevocationVerdict } from '../../src/revocation/revocation.ts'

const claims = {
  iss: 'https://login.example.com',
  aud: 'api',
  exp: 2,
  iat: 1,
  client_id: 'billing',
}
const out: RevocationVerdict = { revoked: true, level: 'client', at: 1000 }

/** A store that answers when the test says so, with what is true at the moment of the question. */
function slowStore() {
  const asked: string[] = []
  const answers: (() => void)[] = []
  let verdict: RevocationVerdict = { revoked: false }
  const checks = new ClientChecks(async ({ client_id: client = '' }) => {
    asked.push(client)
    const current = verdict
    return new Promise((resolve) => {
      answers.push(() => {
        resolve(current)
      })
    })
  })
  const settle = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    asked,
    checks,
    kickOut: () => (verdict = out),
    async answer() {
      answers.shift()?.()
      await settle()
    },
  }
}

test('requests that come while a question is under way share the next one, which sees kick-outs up to then', async () => {
  const { checks, asked, kickOut, answer } = slowStore()
  const first = checks.ask(claims)
  kickOut()
  const later = Array.from({ length: 10 }, async () => checks.ask(claims))
  expect(asked).toHaveLength(1)
  await answer()
  expect(await first).toEqual({ revoked: false })
  expect(asked).toHaveLength(2)
  const last = checks.ask(claims)
  await answer()
  expect(await Promise.all(later)).toEqual(new Array(10).fill(out))
  expect(asked).toHaveLength(3)
  await answer()
  expect(await last).toEqual(out)
  const fresh = checks.ask(claims)
  expect(asked).toHaveLength(4)
  await answer()
  await fresh
})

test('other clients and other seconds wait for none of it', async () => {
  const { checks, asked, answer } = slowStore()
  const all = [
    checks.ask(claims),
    checks.ask({ ...claims, client_id: 'warehouse' }),
    checks.ask({ ...claims, iat: 2 }),
  ]
  expect(asked).toEqual(['billing', 'warehouse', 'billing'])
  for (const _one of all) await answer()
  expect(await Promise.all(all)).toHaveLength(3)
})

test('a store that fails is asked again by the next request', async () => {
  let isAway = true
  const checks = new ClientChecks(async () => {
    if (isAway) throw new UnavailableError('revocations', 'away')
    return Promise.resolve({ revoked: false as const })
  })
  const failed = await Promise.allSettled([checks.ask(claims), checks.ask(claims)])
  expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  isAway = false
  expect(await checks.ask(claims)).toEqual({ revoked: false })
})
