import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blocksOf, readPage } from './documentation.ts'

const root = join(import.meta.dirname, '../..')

/**
 * The exports of a block of code of a page, as the page shows it: the first block below the comment
 * `<!-- sample NAME -->`.
 */
export async function loadSample(page: string, name: string): Promise<Record<string, unknown>> {
  const [, below] = readPage(page).split(`<!-- sample ${name} -->`)
  const [block] = below === undefined ? [] : blocksOf(page, below)
  if (!block) throw new Error(`${page} has no sample ${name}`)
  // Below the root, where the names of packages lead to the same as in tests.
  const folder = await mkdtemp(join(root, 'test/.sample-'))
  try {
    const file = join(folder, 'sample.ts')
    await writeFile(file, block.shown)
    return (await import(file)) as Record<string, unknown>
  } finally {
    await rm(folder, { recursive: true })
  }
}
