import { appendFileSync } from 'node:fs'

/**
 * A jest reporter that appends one JSON line of totals per run to the file named by JEST_COUNTS_FILE.
 * A file that could not be run at all counts as one failure: its tests are in no other number.
 */
export default class JestCounts {
  onRunComplete(_contexts, results) {
    const file = process.env.JEST_COUNTS_FILE
    if (!file) return
    const totals = {
      passed: results.numPassedTests,
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
    }
    appendFileSync(file, `${JSON.stringify(totals)}\n`)
  }
}
