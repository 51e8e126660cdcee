import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { websocketDefaults } from '../../src/websocket/options.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/open-connections.md'), 'utf8')

test('docs/open-connections.md names the defaults of the source', () => {
  const { codes, closeTimeoutMs, subprotocol } = websocketDefaults
  expect(page).toContain(`| \`subprotocol\` | \`'${subprotocol}'\` |`)
  expect(page).toContain(`| \`closeTimeoutMs\` | \`${closeTimeoutMs}\` |`)
  const { revoked, expired, stale } = codes
  expect(page).toContain(
    `| \`codes\` | \`{ revoked: ${revoked}, expired: ${expired}, stale: ${stale} }\` |`,
  )
  for (const [reason, code] of Object.entries(codes)) {
    expect(page).toContain(`| ${code} | \`${reason}\` |`)
  }
})
