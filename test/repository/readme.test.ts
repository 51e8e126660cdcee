import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { readPage } from '../support/documentation.ts'

const root = join(import.meta.dirname, '../..')
const readme = readPage('README.md')

test('the README has at most 1 200 words', () => {
  expect(readme.split(/\s+/).filter(Boolean).length).toBeLessThanOrEqual(1200)
})

test('the README works on a package page: its links are absolute', () => {
  const relative = [...readme.matchAll(/\]\(([^)]*)\)/g)].map(([, link = '']) => link)
  expect(relative.length).toBeGreaterThan(10)
  expect(relative.filter((link) => !/^(https:\/\/|#)/.test(link))).toEqual([])
})

describe('the figures of the benchmark', () => {
  const results = readFileSync(join(root, 'bench/results.md'), 'utf8')
  const [, quoted = ''] = /<!-- bench:begin -->\n([^]*?)<!-- bench:end -->/.exec(readme) ?? []
  const rows = quoted.split('\n').filter((line) => line.startsWith('|'))

  test('are of the day of the results', () => {
    expect(rows).toHaveLength(2 + 5)
    const [, day = 'no day'] = /on (\d{4}-\d{2}-\d{2})/.exec(results) ?? []
    expect(quoted).toContain(day)
  })

  test('stand in bench/results.md, row by row', () => {
    const known = new Set(results.split('\n'))
    expect(rows.filter((row) => !known.has(row))).toEqual([])
  })
})
