import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { Keys } from '../../src/redis/keys.ts'
import { readPage, rowsOf, sectionOf } from '../support/documentation.ts'

/* docs/architecture.md and docs/security.md name files and tests: what they name is there. */

const root = join(import.meta.dirname, '../..')
const page = 'docs/architecture.md'
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('an invariant', () => {
  const [, ...rows] = rowsOf(sectionOf(page, '## Invariants'))
  const invariants = rows.map(([name = '', , file = '', evidence = '']) => {
    const [, testFile = '', title = ''] = /^`([^`]*)` "(.*)"$/.exec(evidence) ?? []
    return { name, file: file.replaceAll('`', ''), testFile, title: title.replaceAll('\\"', '"') }
  })

  test('has a number of its own, in order', () => {
    expect(invariants.length).toBeGreaterThan(20)
    expect(invariants.map(({ name }) => name)).toEqual(
      invariants.map((_, index) => `K${index + 1}`),
    )
  })

  test.each(invariants)('$name is enforced in $file', ({ file }) => {
    expect(existsSync(join(root, file))).toBe(true)
  })

  test.each(invariants)('$name has the test "$title"', ({ testFile, title }) => {
    expect(title).not.toBe('')
    expect(read(testFile)).toContain(title)
  })
})

test('the table of keys has the keys of the source', () => {
  const [, ...rows] = rowsOf(sectionOf(page, '## Keys in Redis'))
  const documented = rows.map(([key = '']) => key.replaceAll('`', '').replace(/<\w+>|…/g, '*'))
  const settings = { keyPrefix: '', prefix: 'kickout', partitions: 1 } as ConstructorParameters<
    typeof Keys
  >[0]
  const keys = new Keys(settings)
  const issuer = 'https://login.example.com'
  const made = [
    keys.meta(0),
    keys.stream(0),
    keys.servers(0),
    keys.marks(0),
    keys.user(issuer, 'u1'),
    keys.userSessions(issuer, 'u1'),
    keys.session('sid'),
    keys.deny('subject', issuer, 'u1'),
  ]
  const patterns = documented
    .map((key) => key.replace('{kickout:*}', '{kickout:0}'))
    .map((key) => new RegExp(`^${key.replace(/[{}]/g, '\\$&').replaceAll('*', '[^:]+')}$`))
  expect(made.filter((key) => !patterns.some((pattern) => pattern.test(key)))).toEqual([])
  const madeElsewhere = ['{kickout:replay:*}:*', '{kickout:signing-keys}:issuer:*']
  expect(documented).toEqual(expect.arrayContaining(madeElsewhere))
  expect(documented).toHaveLength(made.length + madeElsewhere.length)
})

test('the tree names folders and files that are there', () => {
  const [, ...rows] = rowsOf(sectionOf(page, '## The tree'))
  const folders = rows.flatMap(([cell = '']) =>
    [...cell.matchAll(/`([^`]*)`/g)].map(([, one = '']) => one),
  )
  expect(folders.filter((folder) => !existsSync(join(root, folder)))).toEqual([])
})

describe('a question of a newcomer', () => {
  const [, ...rows] = rowsOf(sectionOf(page, '## Five questions'))
  const questions = rows.map(([question = '', files = '', limit = '']) => ({
    question,
    files: [...files.matchAll(/`([^`]*)`/g)].map(([, file = '']) => file),
    limit: Number(limit),
  }))

  test('is one of five', () => {
    expect(questions.map(({ limit }) => limit)).toEqual([1, 5, 8, 1, 3])
  })

  test.each(questions)('"$question" opens at most $limit files', ({ files, limit }) => {
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([])
    expect(files.length).toBeGreaterThan(0)
    expect(files.length).toBeLessThanOrEqual(limit)
  })
})

test('only src/revocation/freshness.ts compares an age with maxStalenessMs for a request', () => {
  const deciding = ['redis', 'postgres'].flatMap((store) =>
    readdirSync(join(root, 'src', store, 'kick-outs'))
      .map((file) => `src/${store}/kick-outs/${file}`)
      .filter((file) => /[<>]=?\s*[\w.#]*maxStalenessMs/i.test(read(file))),
  )
  expect(deciding).toEqual([])
})

describe('docs/security.md', () => {
  const named = [...readPage('docs/security.md').matchAll(/`(test\/[^`]*)`/g)]

  test.each([...new Set(named.map(([, path = '']) => path))])(
    'names %s, which is there',
    (path) => {
      expect(existsSync(join(root, path))).toBe(true)
    },
  )
})
