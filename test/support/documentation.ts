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

/** The text below a heading, to the next heading of any level. Without a heading it is the whole page. */
export function sectionOf(page: string, heading?: string): string {
  const text = readPage(page)
  if (heading === undefined) return text
  const [, rest] = `\n${text}`.split(`\n${heading}\n`)
  if (rest === undefined) throw new Error(`${page} has no heading "${heading}"`)
  return rest.split(/\n#{1,6} /)[0] ?? ''
}

/** The rows of the tables of a text, each as its cells; lines of dashes are left out. */
export function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()))
}

/** The first `code` of the default column of an option's row, as a value; `undefined` where the cell holds no literal. */
export function documentedDefault(text: string, option: string): unknown {
  const [, cell = ''] = rowsOf(text).find(([name]) => name === `\`${option}\``) ?? []
  const [, code] = /`([^`]*)`/.exec(cell) ?? []
  return code === undefined ? undefined : literalOf(code)
}

/** Reads a literal of the source (`'text'`, `10_000`, `{ a: 1 }`); `undefined` for anything else. */
export function literalOf(code: string): unknown {
  const json = code
    .replaceAll("'", '"')
    .replace(/(\w+):/g, '"$1":')
    .replace(/(?<=\d)_(?=\d)/g, '')
  try {
    return JSON.parse(json) as unknown
  } catch {
    return undefined
  }
}
