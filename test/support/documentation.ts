import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Reads the pages of the documentation and their blocks of code. */

const root = join(import.meta.dirname, '../..')

/** A block of code of a page. */
export interface Block {
  /** Path of the page below the root of the repository. */
  readonly page: string
  /** Line of the opening fence. */
  readonly line: number
  /** What the page shows, without what it takes for granted. */
  readonly shown: string
  /** What the block takes for granted, then what the page shows. */
  readonly code: string
  /** Whether an HTML comment `run` stands right above the block: it ends by itself when it is run. */
  readonly isRun: boolean
}

/** README.md and every page of docs, as paths below the root of the repository. */
export function documentationPages(): string[] {
  const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...docs.map((name) => `docs/${name}`)]
}

/** The text of a page. */
export function readPage(page: string): string {
  return readFileSync(join(root, page), 'utf8')
}

/**
 * The `ts` and `js` blocks of a page. What a block takes for granted (`declare const user: { id: string }`) stands in an
 * HTML comment that begins with `given` right above it, so that a reader does not see it:
 *
 *     <!-- given
 *     declare const user: { id: string }
 *     -->
 *
 * A comment `run` above the block says that a test runs it.
 */
export function blocksOf(page: string, markdown: string): Block[] {
  const block = /(<!-- run -->\s*)?(?:<!-- given\n([^]*?)-->\s*)?^( *)```(?:ts|js)\n([^]*?)^\3```/gm
  return [...markdown.matchAll(block)].map((match) => {
    const [whole, run, given = '', , shown = ''] = match
    const fence = match.index + whole.search(/```(?:ts|js)\n/)
    return {
      page,
      line: markdown.slice(0, fence).split('\n').length,
      shown,
      code: given + shown,
      isRun: run !== undefined,
    }
  })
}

/** The text of a section, from below its heading to the next heading of the same or a higher level. */
export function sectionOf(markdown: string, heading: string): string {
  const [, level = ''] = /^(#+) /.exec(heading) ?? []
  const [, rest] = `\n${markdown}`.split(`\n${heading}\n`)
  if (rest === undefined) throw new Error(`There is no section "${heading}"`)
  return rest.split(new RegExp(`\\n#{1,${level.length}} `))[0] ?? ''
}

/** The first `code` of the default column of an option's row in a table, as a value. */
export function documentedDefault(markdown: string, option: string): unknown {
  const row = markdown.split('\n').find((line) => line.startsWith(`| \`${option}\` |`))
  const [, , cell = ''] = row?.split(/(?<!\\)\|/) ?? []
  const [, code] = /`([^`]*)`/.exec(cell) ?? []
  if (code === undefined) throw new Error(`The page has no default for ${option}`)
  const json = code.replaceAll("'", '"').replace(/(\w+):/g, '"$1":')
  return JSON.parse(json) as unknown
}
