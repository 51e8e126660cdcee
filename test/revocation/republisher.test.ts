import { expect, test } from '@jest/globals'
import { systemClock } from '../../src/clock.ts'
import { Denylist } from '../../src/revocation/denylist.ts'
import { Republisher } from '../../src/revocation/republisher.ts'
import type { Revocation } from '../../src/revocation/revocation.ts'
import { waitUntil } from '../support/wait.ts'

const issuer = 'https://login.example.com'

function revocationOf(id: string): Revocation {
  return { kickOutId: id, issuer, level: 'subject', id, at: 1000, until: 4e12 }
}

test('a write that fails after a later load has taken over ends no process', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    const denylist = new Denylist(systemClock)
    for (const id of ['u1', 'u2', 'u3']) denylist.apply(revocationOf(id), 600_000, false)
    let asked = 0
    let failed = 0
    const republisher: Republisher = new Republisher(
      {
        async republish() {
          // The first write is under way when a later load takes over.
          if (++asked === 1) republisher.close()
          await new Promise((resolve) => setTimeout(resolve, 5))
          failed++
          throw new Error('The node of the slot is not known')
        },
        partitionOf: () => 0,
        isForbidden: () => false,
      },
      denylist,
    )
    republisher.begin(0, performance.now())
    await waitUntil(() => failed >= 1, { what: 'the write to fail' })
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect(asked).toBe(1)
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', note)
  }
})

test('processes that begin at once share the work', async () => {
  const entries = Array.from({ length: 4000 }, (_, index) => revocationOf(`u${index}`))
  const denylists = Array.from({ length: 5 }, () => new Denylist(systemClock))
  for (const denylist of denylists)
    for (const entry of entries) denylist.apply(entry, 600_000, false)
  const sinceMs = performance.now()
  const written = new Set<string>()
  let asked = 0
  const log = {
    async republish({ id }: { id: string }) {
      asked++
      await new Promise((resolve) => setImmediate(resolve))
      if (written.has(id)) return
      written.add(id)
      for (const denylist of denylists) denylist.apply(revocationOf(id), 600_000)
    },
    partitionOf: () => 0,
    isForbidden: () => false,
  }
  const republishers = denylists.map((denylist) => new Republisher(log, denylist))
  for (const republisher of republishers) republisher.begin(0, sinceMs)
  await waitUntil(() => written.size === entries.length, { what: 'all to be written' })
  for (const republisher of republishers) republisher.close()
  expect(asked).toBeLessThan(1.6 * entries.length)
})
