/**
 * `npm run fuzz [-- <count> [<seed>]]`: mutates good tokens, a million unless told otherwise, and ends non-zero when the
 * guard takes one that it must not.
 */
import { fuzzTokens } from '../test/support/fuzz-tokens.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 32)
const startedAt = performance.now()

console.log(`${count} mutations, seed ${seed}`)
const report = await fuzzTokens({
  seed,
  count,
  onProgress(done) {
    const perSecond = Math.round((done / (performance.now() - startedAt)) * 1000)
    if (done % 50_000 === 0) console.log(`${done} done, ${perSecond} per second`)
  },
})
for (const violation of report.violations) console.error(violation)
console.log(
  `${report.tried} mutations, ${report.same} of them another spelling, ${report.violations.length} violations, ` +
    `${Math.round((performance.now() - startedAt) / 1000)} s`,
)
process.exitCode = report.violations.length === 0 ? 0 : 1
