import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const folder = join(root, '.github/workflows')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}

describe.each(readdirSync(folder))('%s', (name) => {
  const text = readFileSync(join(folder, name), 'utf8')

  test('uses actions by their commit, with the version beside it', () => {
    const uses = [...text.matchAll(/uses: (.*)/g)].map(([, action = '']) => action)
    expect(uses.filter((action) => !/^[\w/-]+@[0-9a-f]{40} # v\d/.test(action))).toEqual([])
  })

  test('has read-only rights unless a job asks for more', () => {
    expect(text).toMatch(/^permissions:\n {2}contents: read$/m)
  })

  test('runs scripts that there are', () => {
    const run = [...text.matchAll(/\bnpm run (\w[\w:-]*)/g)].map(([, script = '']) => script)
    expect(run.filter((script) => !(script in scripts))).toEqual([])
  })
})

test('CONTRIBUTING.md names files and scripts that there are', () => {
  const text = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')
  const files = [...text.matchAll(/`((?:src|test|docs|bench)\/[\w./-]+)`/g)].map(
    ([, path = '']) => path,
  )
  expect(files.length).toBeGreaterThan(10)
  // `npm run docs` writes that folder.
  const tracked = files.filter((path) => !path.startsWith('docs/api/'))
  expect(tracked.filter((path) => !existsSync(join(root, path)))).toEqual([])
  const run = [...text.matchAll(/\bnpm run (\w[\w:-]*)/g)].map(([, script = '']) => script)
  expect(run.length).toBeGreaterThan(5)
  expect(run.filter((script) => !(script in scripts))).toEqual([])
})
