import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { makeProject, OPTIONAL_PEERS, type Project } from './support/project.ts'

/* Bundles of a server, as ES module and as CommonJS, and of a page. The optional peers are there, as bundlers follow every import. */

const statuses = '401 403 200 401\n'
let project: Project

beforeAll(async () => {
  project = await makeProject({
    files: 'bundlers',
    packages: { ...OPTIONAL_PEERS, express: '^5', esbuild: '^0.28', webpack: '^5' },
  })
})

describe('esbuild', () => {
  test.each([
    ['server.mjs', 'esm'],
    ['server.cjs', 'cjs'],
    ['server.cjs', 'esm'],
    ['mixed.mjs', 'esm'],
  ])('%s as %s', async (entry, format) => {
    await project.node(['esbuild.cjs', entry, format])
    const extension = format === 'cjs' ? 'cjs' : 'mjs'
    expect(await project.node([`out/esbuild-${entry}.${extension}`])).toBe(statuses)
  })

  test('a page is a few kilobytes, and nothing of the servers', async () => {
    await project.node(['esbuild.cjs', 'page.mjs', 'esm'])
    await assertPage('esbuild-page.mjs.mjs')
  })
})

describe('webpack', () => {
  test.each(['server.mjs', 'server.cjs', 'mixed.mjs'])('%s', async (entry) => {
    await project.node(['webpack.cjs', entry])
    expect(await project.node([`out/webpack-${entry}.cjs`])).toBe(statuses)
  })

  test('a page is a few kilobytes, and nothing of the servers', async () => {
    await project.node(['webpack.cjs', 'page.mjs'])
    await assertPage('webpack-page.mjs.cjs')
  })
})

async function assertPage(file: string): Promise<void> {
  const text = await readFile(join(project.folder, 'out', file), 'utf8')
  expect(text).toContain('client')
  expect(text).not.toMatch(/jwtVerify|LRUCache|node:crypto/)
  expect(text.length).toBeLessThan(32 * 1024)
}
