/**
 * Mutation tests: `npm run mutation [-- group …]`. Fails when fewer than 85 % of all mutants are killed.
 *
 * Stryker loads every test file it is given once per mutant, so each group of sources gets only the tests that are about
 * it. docs/mutation.md says what survives and why.
 */
import { relative } from 'node:path'
import { Stryker } from '@stryker-mutator/core'

const breakAt = 85

const groups = {
  bearer: { sources: ['guard/bearer'], tests: ['guard/bearer', 'attacks/bearer'] },
  'compact-jws': { sources: ['guard/token/compact-jws'], tests: ['guard/token/compact-jws'] },
  claims: {
    sources: ['guard/token/claims', 'guard/scopes'],
    tests: ['guard/token/claims', 'guard/scopes'],
  },
  verifier: {
    sources: ['guard/token/verifier'],
    tests: ['guard/token/verifier', 'attacks/tokens'],
  },
  authenticate: {
    sources: ['guard/authenticate', 'guard/token/verified-cache'],
    tests: ['guard/authenticate', 'guard/token/verified-cache'],
  },
  revocation: {
    sources: ['revocation/revocation', 'revocation/denylist'],
    tests: ['revocation/revocation', 'revocation/denylist'],
  },
  'row-index': { sources: ['revocation/row-index'], tests: ['revocation/row-index'] },
  target: { sources: ['revocation/target'], tests: ['revocation/target'] },
  freshness: { sources: ['revocation/freshness'], tests: ['revocation/freshness'] },
  refresh: {
    sources: ['issuer/refresh', 'issuer/tokens/refresh-token'],
    tests: [
      'issuer/tokens/refresh-token',
      'attacks/refresh',
      'attacks/cookies',
      'flows/confidential-clients',
    ],
  },
  store: {
    sources: ['issuer/sessions/memory-session-store', 'issuer/sessions/memory-marks'],
    tests: ['issuer/sessions/memory-session-store', 'issuer/sessions/memory-marks'],
  },
}

const asked = process.argv.slice(2)
const names = asked.length > 0 ? asked : Object.keys(groups)
const rows = []

for (const name of names) {
  const { sources, tests } = groups[name]
  process.env.MUTATION_TESTS = tests.join(',')
  const mutate = sources.map((source) => `src/${source}.ts`)
  const mutants = await new Stryker({ mutate }).runMutationTest()
  for (const file of mutate) {
    const count = (...statuses) =>
      mutants.filter(
        ({ fileName, status }) => relative('.', fileName) === file && statuses.includes(status),
      ).length
    const killed = count('Killed', 'Timeout')
    const left = count('Survived', 'NoCoverage')
    // Mutants that could not be run at all, such as those that no test file could load, are in no score.
    rows.push({ file, killed, left, errors: count('RuntimeError'), '%': percent(killed, left) })
  }
}

const sum = (column) => rows.reduce((total, row) => total + row[column], 0)
const score = percent(sum('killed'), sum('left'))
console.table([
  ...rows,
  { file: 'all', killed: sum('killed'), left: sum('left'), errors: sum('errors'), '%': score },
])
if (score < breakAt) process.exitCode = 1

function percent(killed, left) {
  return Math.round((1000 * killed) / (killed + left)) / 10
}
