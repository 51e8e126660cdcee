import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'
import {
  AuthError,
  type AuthErrorCode,
  type AuthErrorReason,
  GrantError,
  type GrantErrorCode,
  UnavailableError,
  type UnavailableReason,
} from '../../src/errors.ts'
import { rowsOf, sectionOf } from '../support/documentation.ts'

const page = 'docs/errors.md'
const source = ts.createSourceFile(
  'errors.ts',
  readFileSync(join(import.meta.dirname, '../../src/errors.ts'), 'utf8'),
  ts.ScriptTarget.ES2023,
)

describe('the table of the guard', () => {
  const [, ...rows] = rowsOf(sectionOf(page, '## Of the guard'))
  const facts = rows.map(([code = '', status = '', reason = '']) => ({
    code: code.replaceAll('`', ''),
    status: Number(status),
    reason: reason.replaceAll('`', ''),
  }))

  test('has every code and every reason', () => {
    const codes = [...unionOf('AuthErrorCode'), 'temporarily_unavailable']
    expect([...new Set(facts.map(({ code }) => code))].sort()).toEqual(codes.sort())
    const reasons = [
      ...unionOf('AuthErrorReason'),
      'jwks',
      'introspection',
      'revocations',
      'replay',
    ]
    expect([...new Set(facts.map(({ reason }) => reason))].sort()).toEqual(
      [...new Set(reasons)].sort(),
    )
  })

  test.each(facts)('$code $reason is $status', ({ code, status, reason }) => {
    const error =
      code === 'temporarily_unavailable'
        ? new UnavailableError(reason as UnavailableReason, '')
        : new AuthError(code as AuthErrorCode, reason as AuthErrorReason, '')
    expect(error.status).toBe(status)
  })
})

describe('the table of the issuer', () => {
  const [, ...rows] = rowsOf(sectionOf(page, '## Of the issuer'))
  const facts = rows.map(([code = '', status = '']) => ({
    code: code.replaceAll('`', ''),
    status: Number(status),
  }))

  test('has every code', () => {
    const codes = [...unionOf('GrantErrorCode'), 'temporarily_unavailable']
    expect(facts.map(({ code }) => code).sort()).toEqual(codes.sort())
  })

  test.each(facts)('$code is $status', ({ code, status }) => {
    const error =
      code === 'temporarily_unavailable'
        ? new UnavailableError('sessions', '')
        : new GrantError(code as GrantErrorCode, '', '')
    expect(error.status).toBe(status)
  })

  test('the text names every reason of a 503', () => {
    const text = sectionOf(page, '## Of the issuer')
    const elsewhere = ['jwks', 'introspection']
    const reasons = unionOf('UnavailableReason').filter((reason) => !elsewhere.includes(reason))
    expect(reasons.filter((reason) => !text.includes(`\`${reason}\``))).toEqual([])
  })
})

/** The members of a union of texts in src/errors.ts. */
function unionOf(name: string): string[] {
  const declaration = source.statements.find(
    (statement) => ts.isTypeAliasDeclaration(statement) && statement.name.text === name,
  )
  if (!declaration || !ts.isTypeAliasDeclaration(declaration)) throw new Error(`no type ${name}`)
  const { type } = declaration
  if (!ts.isUnionTypeNode(type)) throw new Error(`${name} is no union`)
  return type.types.flatMap((member) =>
    ts.isLiteralTypeNode(member) && ts.isStringLiteral(member.literal) ? [member.literal.text] : [],
  )
}
