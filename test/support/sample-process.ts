import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Block, blocksOf, readPage } from './documentation.ts'
import { makeScratchDir, removeScratchDir } from './reaper.ts'

/** Runs blocks of the documentation as a reader would: each as a module in a process of its own. */

const root = join(import.meta.dirname, '../..')

export interface RunningSample {
  readonly process: ChildProcess
  /** What it has printed so far. */
  output(): string
  /** Resolves to its exit code when it has ended. */
  ended(): Promise<number | null>
  /** Ends it, if it has not ended, and removes its folder. */
  stop(): Promise<void>
}

export interface SampleChanges {
  /** Texts of the block and what stands there instead: ports and addresses of this test. */
  readonly replace?: Readonly<Record<string, string>>
  /** Code in front of the block, for what the page takes for granted. */
  readonly before?: string
  readonly env?: Readonly<Record<string, string>>
}

/**
 * The block of a page that has a text in it.
 *
 * @throws Error where there is no such block, or more than one
 */
export function findBlock(page: string, text: string): Block {
  const found = blocksOf(page, readPage(page)).filter(({ shown }) => shown.includes(text))
  const [block] = found
  if (!block || found.length > 1) throw new Error(`${page}: ${found.length} blocks have "${text}"`)
  return block
}

/** Starts a block. The package's own name leads to src, as in all tests. */
export function runSample(block: Block, changes: SampleChanges = {}): RunningSample {
  const folder = makeScratchDir()
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  let code = block.shown
  for (const [text, instead] of Object.entries(changes.replace ?? {})) {
    if (!code.includes(text)) throw new Error(`The block does not have "${text}"`)
    code = code.replaceAll(text, instead)
  }
  const file = join(folder, 'sample.mts')
  writeFileSync(file, `${changes.before ?? ''}\n${code}`)
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      TSX_TSCONFIG_PATH: join(root, 'tsconfig.json'),
      ...changes.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const end = once(child, 'close').then(([code]) => code as number | null)
  return {
    process: child,
    output: () => output,
    ended: async () => end,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await end
      removeScratchDir(folder)
    },
  }
}
