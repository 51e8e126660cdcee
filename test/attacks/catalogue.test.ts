import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import ts from 'typescript'
import { catalogue } from './catalogue.ts'

const folder = join(import.meta.dirname, '..')
const rowId = /\b(?:RT|[TBCKVALIGEMO])\d{2}\b/g

/** The ids in the names of a file's tests: the first text of each `test(…)`, `test.each(…)(…)` and `describe(…)`. */
function idsIn(text: string): Set<string> {
  const ids = new Set<string>()
  const visit = (node: ts.Node): void => {
    const [first] = ts.isCallExpression(node) ? node.arguments : []
    if (
      first &&
      ts.isCallExpression(node) &&
      /^(test|describe)\b/.test(node.expression.getText())
    ) {
      if (ts.isStringLiteralLike(first) || ts.isTemplateExpression(first)) {
        for (const [id] of first.getText().matchAll(rowId)) ids.add(id)
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile('a.ts', text, ts.ScriptTarget.ES2023, true))
  return ids
}

const tested = new Map(
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => [name.replaceAll('\\', '/'), idsIn(readFileSync(join(folder, name), 'utf8'))]),
)

test('lists every row of the catalogue, 160 in all', () => {
  expect(catalogue.size).toBe(35 + 13 + 11 + 15 + 11 + 12 + 12 + 6 + 10 + 7 + 10 + 6 + 12)
})

test.each([...catalogue].filter(([, row]) => 'in' in row))(
  '%s stands in the name of a test of the file that the catalogue names',
  (id, row) => {
    for (const file of 'in' in row ? row.in : []) {
      expect([file, tested.get(file)?.has(id)]).toEqual([file, true])
    }
  },
)

test('what is not tested has a reason', () => {
  for (const [id, row] of catalogue) {
    if ('none' in row) expect([id, row.none.length > 10]).toEqual([id, true])
  }
})

test('no test names a row that the catalogue does not have', () => {
  const all = [...tested.values()].flatMap((ids) => [...ids])
  expect(all.filter((id) => !catalogue.has(id))).toEqual([])
})

test('finds ids in plain, in tabled and in templated names, and not in comments or bodies', () => {
  const text = [
    "test('T01 a', () => 'T02')",
    "test.each([['T03']])('T04 %s', f)",
    'describe(`T05 ${x}`, f)',
    '// T06',
  ].join('\n')
  expect([...idsIn(text)]).toEqual(['T01', 'T04', 'T05'])
})
