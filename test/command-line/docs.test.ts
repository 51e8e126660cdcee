import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { commands } from '../../src/command-line/commands.ts'
import { exitCodes } from '../../src/command-line/failure.ts'
import { builtCommand } from './support/built-command.ts'
import { faults, type Scene, scenes } from './support/scenarios.ts'
import { useStage } from './support/stage.ts'

/*
 * What docs/command-line.md shows is what the command prints: each block below a comment `<!-- printed: SCENE -->` is run in
 * a shell, in that scene of support/scenarios.ts, and compared with numbers and ids masked. `UPDATE_DOCS=1` writes what was
 * printed into the page instead.
 */

const stage = useStage()
const path = join(import.meta.dirname, '../../docs/command-line.md')
const page = readFileSync(path, 'utf8')
const isUpdating = process.env['UPDATE_DOCS'] === '1'

interface Block {
  readonly scene: string
  readonly command: string
  readonly shown: string
  readonly start: number
  readonly end: number
}

function blocksOf(markdown: string): Block[] {
  const block = /<!-- printed: ([a-z-]+) -->\n\n```console\n\$ (.*)\n([^]*?)```/g
  return [...markdown.matchAll(block)].map((match) => {
    const [text, scene = '', command = '', shown = ''] = match
    const end = match.index + text.length - '```'.length
    return { scene, command, shown, start: end - shown.length, end }
  })
}

/** What differs from run to run, and nothing else, gives way to a word. */
function masked(text: string): string {
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replace(/[\w.]+-[0-9a-f]{12}\b/g, '<server>')
    .replace(/\b\d+-[\w-]{22}(?![\w-])/g, '<session>')
    .replace(/(?<![\w-])[\w-]{43}(?![\w-])/g, '<kid>')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<moment>')
    .replace(/\d+(\.\d+)? (ms|s|min)\b/g, '<time>')
    .replace(/\d+/g, '0')
    .replace(/ {2,}/g, '  ')
    .replace(/(<server>(, )?)+/g, '<server>')
}

/** Runs a line of the page in bash; `npx express-kickout` is the built command. */
async function runLine(line: string, { env, input }: Scene): Promise<string> {
  const script = `npx() { shift; ${process.execPath} ${await builtCommand()} "$@"; }\n${line}`
  const child = spawn('bash', ['-c', script], {
    env: { PATH: process.env['PATH'] ?? '', ...env, ...(input !== undefined && { TOKEN: input }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
  }
  await new Promise((resolve) => child.once('close', resolve))
  return printed
}

const all = { ...faults, ...scenes }
const blocks = blocksOf(page)
const printedBy = new Map<Block, string>()

describe('docs/command-line.md shows what is printed', () => {
  test.each(blocks.map((block) => [block.scene, block.command, block] as const))(
    '%s: %s',
    async (scene, command, block) => {
      const scenario = all[scene as keyof typeof all]
      const printed = await runLine(command, await scenario(stage))
      printedBy.set(block, printed)
      if (!isUpdating) expect(masked(printed)).toBe(masked(block.shown))
    },
  )

  test('in as many blocks as there are commands and faults to show', () => {
    if (isUpdating) {
      let updated = page
      for (const block of [...blocks].reverse()) {
        const printed = printedBy.get(block) ?? block.shown
        updated = updated.slice(0, block.start) + printed + updated.slice(block.end)
      }
      writeFileSync(path, updated)
    }
    const shown = new Set(blocks.map(({ scene }) => scene))
    expect([...Object.keys(faults)].filter((name) => !shown.has(name))).toEqual([])
  })
})

describe('docs/command-line.md', () => {
  test('names every command and every exit code', () => {
    for (const { words } of commands) expect(page).toContain(`\`${words.join(' ')}`)
    for (const [name, code] of Object.entries(exitCodes)) {
      expect({ name, shown: page.includes(`| ${code} |`) }).toEqual({ name, shown: true })
    }
  })

  test('names every option of kick-out', () => {
    const options = commands[0]?.options ?? []
    for (const option of options) expect(page).toContain(`--${option}`)
  })
})
