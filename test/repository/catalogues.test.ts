import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import ts from 'typescript'
import { catalogue } from '../attacks/catalogue.ts'
import { readPage, rowsOf } from '../support/documentation.ts'

/* A code in the name of a test (`T17`, `F14`) is a row of docs/threats.md or docs/faults.md. */

const folder = join(import.meta.dirname, '..')
const code = /^(?:RT|[A-Z])\d{1,2}$/

const rows = ['docs/threats.md', 'docs/faults.md'].flatMap((page) =>
  rowsOf(readPage(page)).filter(([first = '']) => code.test(first)),
)
const documented = rows.map(([first = '']) => first)

test('every code stands in one row, which says what happens', () => {
  expect(documented.filter((one, index) => documented.indexOf(one) !== index)).toEqual([])
  expect(rows.filter((cells) => cells.some((cell) => cell.length < 2))).toEqual([])
})

test('every row of the catalogue of attacks is on a page', () => {
  expect([...catalogue.keys()].filter((one) => !documented.includes(one))).toEqual([])
})

test('every code in the name of a test is on a page', () => {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(?:test|contract)\.ts$/.test(name),
  )
  const unknown = files.flatMap((file) =>
    codesIn(readFileSync(join(folder, file), 'utf8'))
      .filter((one) => !documented.includes(one))
      .map((one) => `${file}: ${one}`),
  )
  expect(unknown).toEqual([])
})

test('codes are found at the beginning of plain, tabled and templated names only', () => {
  const names = [
    "test('T01 RT02 a', () => {})",
    'test.each([])(`F14 ${b} K01`, () => {})',
    "describe('C03 c', () => { expect('D04 d') })",
    "test('refuses RS1 and A9', () => {})",
  ]
  expect(codesIn(names.join('\n'))).toEqual(['T01', 'RT02', 'F14', 'C03'])
})

/** The codes that the names of a file's tests begin with. */
function codesIn(text: string): string[] {
  const codes: string[] = []
  const visit = (node: ts.Node): void => {
    const [name] = ts.isCallExpression(node) ? node.arguments : []
    const isTest =
      ts.isCallExpression(node) && /^(?:test|describe)\b/.test(node.expression.getText())
    if (isTest && name && (ts.isStringLiteralLike(name) || ts.isTemplateExpression(name))) {
      for (const word of name.getText().slice(1, -1).split(' ')) {
        if (!code.test(word)) break
        codes.push(word)
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile('a.ts', text, ts.ScriptTarget.ES2023, true))
  return codes
}
