import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { documentationPages, readPage } from '../support/documentation.ts'

const root = join(import.meta.dirname, '../..')
const { repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  repository: { url: string }
}
const home = `${repository.url.replace(/^git\+/, '').replace(/\.git$/, '')}/blob/main/`
const pages = [
  ...documentationPages(),
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'example-app/README.md',
]

describe.each(pages)('%s', (page) => {
  const links = [...withoutCode(readPage(page)).matchAll(/\]\(([^)\s]*)\)/g)].map(
    ([, link = '']) => link,
  )

  test('links to what is there', () => {
    expect(links.filter((link) => !leadsSomewhere(page, link))).toEqual([])
  })
})

test('every page of docs is in the index', () => {
  const index = readPage('docs/README.md')
  const missing = documentationPages()
    .filter((page) => page.startsWith('docs/') && page !== 'docs/README.md')
    .filter((page) => !index.includes(`](${posix.basename(page)})`))
  expect(missing).toEqual([])
})

/** Whether a link leads to a file of this repository, and to a heading of it; links to other places are not followed. */
function leadsSomewhere(page: string, link: string): boolean {
  const own = link.startsWith(home) ? link.slice(home.length) : undefined
  if (own === undefined && /^[a-z]+:/.test(link)) return true
  const [path = '', anchor] = (own ?? link).split('#')
  const folder = own === undefined ? posix.dirname(page) : '.'
  const target = path === '' ? page : posix.join(folder, path)
  if (!existsSync(join(root, target))) return false
  return anchor === undefined || anchorsOf(readPage(target)).has(anchor)
}

/** The anchors that GitHub makes of the headings. */
function anchorsOf(markdown: string): Set<string> {
  const headings = [...withoutCode(markdown).matchAll(/^#{1,6} (.*)$/gm)]
  return new Set(
    headings.map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

function withoutCode(markdown: string): string {
  return markdown
    .replace(/^( *)```[^]*?^\1```/gm, '')
    .replace(/`[^`\n]*`/g, (code) => code.replace(/[[\]()]/g, ''))
}
