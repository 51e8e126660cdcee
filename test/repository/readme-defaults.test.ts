import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { environmentVariables } from '../../src/guard/environment.ts'
import { guardDefaults } from '../../src/guard/options.ts'
import { issuerDefaults } from '../../src/issuer/options.ts'
import { redisDefaults } from '../../src/redis/options.ts'
import { defaultConfirmTimeoutMs } from '../../src/revocation/revocations.ts'

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')

function section(title: string): string {
  const [, rest = ''] = readme.split(`\n## ${title}\n`)
  return rest.split('\n## ')[0] ?? ''
}

/** The first `code` of the default column of an option's row. */
function documentedDefault(text: string, option: string): unknown {
  const row = text.split('\n').find((line) => line.startsWith(`| \`${option}\` |`))
  const [, , cell = ''] = row?.split(/(?<!\\)\|/) ?? []
  const [, code] = /`([^`]*)`/.exec(cell) ?? []
  if (code === undefined) throw new Error(`The README has no default for ${option}`)
  const json = code.replaceAll("'", '"').replace(/(\w+):/g, '"$1":')
  return JSON.parse(json) as unknown
}

describe('a default in the README is the one in the source', () => {
  test.each(Object.entries(guardDefaults))('requireAuth: %s', (option, value) => {
    expect(documentedDefault(section('Resource server'), option)).toEqual(value)
  })
  test.each(Object.entries(redisDefaults))('redisRevocations: %s', (option, value) => {
    expect(documentedDefault(section('On Redis'), option)).toEqual(value)
  })
  test('createIssuer: accessTokenTtlSeconds', () => {
    const documented = documentedDefault(section('Issuer'), 'accessTokenTtlSeconds')
    expect(documented).toBe(issuerDefaults.accessTokenTtlSeconds)
  })
  test.each(Object.entries(issuerDefaults.session))('createIssuer: session.%s', (option, value) => {
    expect(documentedDefault(section('Issuer'), `session.${option}`)).toEqual(value)
  })
  test('kickOut: confirmTimeoutMs and retentionSeconds', () => {
    const text = section('Revocations')
    expect(text).toContain(`\`confirmTimeoutMs\` (${defaultConfirmTimeoutMs}, `)
    expect(text).toContain(`\`retentionSeconds\` (${redisDefaults.retentionSeconds})`)
  })
  test.each(Object.values(environmentVariables))('the variable %s is named', (name) => {
    expect(section('Resource server')).toContain(`\`${name}\``)
  })
})

describe('SECURITY.md', () => {
  const security = readFileSync(join(import.meta.dirname, '../../SECURITY.md'), 'utf8')
  const named = [...security.matchAll(/`(test\/[^`]*)`/g)].map(([, path]) => path ?? '')

  test.each([...new Set(named)])('names %s, which is there', (path) => {
    expect(existsSync(join(import.meta.dirname, '../..', path))).toBe(true)
  })
})
