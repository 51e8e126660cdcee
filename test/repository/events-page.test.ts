import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'
import { rowsOf, sectionOf } from '../support/documentation.ts'

/* The tables of docs/events.md against the unions of src/events.ts: every type, and every field of it. */

const page = 'docs/events.md'
const file = join(import.meta.dirname, '../../src/events.ts')
const program = ts.createProgram([file], {
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2023,
})
const checker = program.getTypeChecker()

/** Documented once, with the revocations. */
const ELSEWHERE = ['kickout.published']

describe.each([
  ['GuardEvent', '## Of the guard'],
  ['RevocationsEvent', '## Of the revocations'],
  ['IssuerEvent', '## Of the issuer'],
])('%s', (name, heading) => {
  const [, ...rows] = rowsOf(sectionOf(page, heading))
  const documented = new Map(
    rows.map(([type = '', fields = '']) => [type.replaceAll('`', ''), fields]),
  )
  const events = membersOf(name).filter(
    ({ type }) => name === 'RevocationsEvent' || !ELSEWHERE.includes(type),
  )

  test('every type has a row, and no other', () => {
    expect([...documented.keys()].sort()).toEqual(
      [...new Set(events.map(({ type }) => type))].sort(),
    )
  })

  test.each(events)('$type: every field is named', ({ type, fields }) => {
    const row = documented.get(type) ?? ''
    expect(fields.filter((field) => !row.includes(`\`${field}\``))).toEqual([])
  })
})

function membersOf(union: string): { type: string; fields: string[] }[] {
  const source = program.getSourceFile(file)!
  const symbol = checker
    .getExportsOfModule(checker.getSymbolAtLocation(source)!)
    .find(({ name }) => name === union)!
  const type = checker.getDeclaredTypeOfSymbol(symbol)
  if (!type.isUnion()) throw new Error(`${union} is no union`)
  return type.types.map((member) => {
    const of = checker.getTypeOfSymbol(member.getProperty('type')!)
    return {
      type: of.isStringLiteral() ? of.value : '',
      fields: member
        .getProperties()
        .map(({ name }) => name)
        .filter((name) => name !== 'type' && name !== 'at'),
    }
  })
}
