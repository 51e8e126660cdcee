import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { postgresDefaults } from '../../src/postgres/options.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/postgresql.md'), 'utf8')

test('docs/postgresql.md names the defaults of the source', () => {
  for (const [name, value] of Object.entries(postgresDefaults)) {
    const shown = typeof value === 'string' ? `'${value}'` : String(value)
    expect(page).toContain(`| \`${name}\` | \`${shown}\` |`)
  }
})
