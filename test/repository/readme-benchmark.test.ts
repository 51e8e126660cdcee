import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const results = readFileSync(join(root, 'bench/results.md'), 'utf8')
const [, quoted = ''] = /<!-- bench:begin -->\n([^]*?)<!-- bench:end -->/.exec(readme) ?? []
const rows = quoted.split('\n').filter((line) => line.startsWith('|'))

test('the README quotes the results of the benchmark, and says of which day', () => {
  expect(rows.length).toBeGreaterThan(10)
  const [, day = 'no day'] = /on (\d{4}-\d{2}-\d{2})/.exec(results) ?? []
  expect(quoted).toContain(day)
})

test('every row that the README quotes stands in bench/results.md', () => {
  const known = new Set(results.split('\n'))
  expect(rows.filter((row) => !known.has(row))).toEqual([])
})
