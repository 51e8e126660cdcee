import { expect, test } from '@jest/globals'
import { RowIndex } from '../../src/revocation/row-index.ts'

/** More than the first map holds; ids of every length, some of which begin or end alike. */
const count = 70_000
const idOf = (row: number) => ['', 'session-', 'a-long-common-beginning-'][row % 3]! + String(row)

test('finds each id, also beyond what one map holds, and no other', () => {
  const index = new RowIndex()
  for (let row = 0; row < count; row++) index.add(idOf(row), row)
  let found = 0
  for (let row = 0; row < count; row++) if (index.get(idOf(row)) === row) found++
  expect(found).toBe(count)
  expect([index.get(idOf(count)), index.get('')]).toEqual([undefined, undefined])
  const listed = new Map(index)
  expect(listed.size).toBe(count)
  expect([...listed].every(([id, row]) => id === idOf(row))).toBe(true)
})

test('forgets the ids that are deleted, wherever they are, and no others', () => {
  const index = new RowIndex()
  for (let row = 0; row < count; row++) index.add(idOf(row), row)
  for (let row = 0; row < count; row += 2) index.delete(idOf(row))
  index.delete('never-there')
  for (const row of [0, 2, count - 2]) expect(index.get(idOf(row))).toBeUndefined()
  for (const row of [1, 3, count - 1]) expect(index.get(idOf(row))).toBe(row)
  expect([...index]).toHaveLength(count / 2)
})

test('is empty, and minds no deletion, before anything was added', () => {
  const index = new RowIndex()
  index.delete('a')
  expect([index.get('a'), [...index]]).toEqual([undefined, []])
  index.add('a', 0)
  index.delete('a')
  expect([index.get('a'), [...index]]).toEqual([undefined, []])
})
