import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { defaultProofMaxAgeSeconds, proofAlgorithms } from '../../src/dpop/proof.ts'
import { guardDefaults } from '../../src/guard/options.ts'
import { memoryReplayDefaults } from '../../src/replay/memory-replay-store.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/sender-constrained.md'), 'utf8')

test('docs/sender-constrained.md names the defaults of the source', () => {
  const tolerance = guardDefaults.clockToleranceSeconds
  expect(page).toContain(`| \`maxAgeSeconds\` | \`${defaultProofMaxAgeSeconds}\` |`)
  expect(page).toContain(proofAlgorithms.map((name) => `\`${name}\``).join(' '))
  const entries = memoryReplayDefaults.maxEntries
  const lifetime = defaultProofMaxAgeSeconds + 2 * tolerance
  expect(page).toContain(
    `remembers ${entries.toLocaleString('en').replace(',', ' ')} proofs of one process, each for ${lifetime} seconds`,
  )
  expect(page).toContain(
    `some ${(Math.floor(entries / lifetime / 100) * 100).toLocaleString('en').replace(',', ' ')} requests a second`,
  )
})
