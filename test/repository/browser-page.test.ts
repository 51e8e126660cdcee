import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'

/*
 * docs/browser.md against src/client: its blocks compile with the types of the DOM and without those of Node, and its
 * table of options has the defaults of the code. What a block takes for granted (a framework's module) stands in an HTML
 * comment above it that begins with `given`; it becomes a declaration file beside the block.
 */

const root = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('docs/browser.md', () => {
  const page = read('docs/browser.md')

  test('shows only code that compiles, for a plain page, React and Vue', () => {
    const blocks = blocksOf(page)
    expect(blocks.map(({ code }) => /from '(react|vue)'/.exec(code)?.[1])).toEqual(
      expect.arrayContaining([undefined, 'react', 'vue']),
    )
    expect(problemsIn(blocks)).toEqual([])
  })

  test('names every option with its default', () => {
    const options = [
      ...read('src/client/options.ts').matchAll(
        /(?:@defaultValue `?([^\s`]+)`?[^/]*\*\/|\*\/)\n {2}readonly (\w+)\??: /g,
      ),
    ].slice(0, 7)
    expect(options).toHaveLength(7)
    for (const [, fallback, name] of options) {
      const cell = fallback === undefined ? 'required' : `\`${fallback}\``
      expect(page).toContain(`| \`${name}\` | ${cell} |`)
    }
  })
})

test('a block that is wrong is reported with its line', () => {
  const wrong =
    "\n```ts\nimport { KickoutClient } from 'express-kickout/client'\nnew KickoutClient({})\n```\n"
  expect(problemsIn(blocksOf(wrong))).toEqual([expect.stringMatching(/^line 2: Argument of type/)])
})

interface Block {
  readonly line: number
  readonly given: string
  readonly code: string
}

function blocksOf(markdown: string): Block[] {
  const block = /(?:<!-- given\n([^]*?)-->\s*)?^```ts\n([^]*?)^```/gm
  return [...markdown.matchAll(block)].map((match) => ({
    line: markdown.slice(0, match.index + match[0].indexOf('```ts')).split('\n').length,
    given: match[1] ?? '',
    code: match[2] ?? '',
  }))
}

function problemsIn(blocks: Block[]): string[] {
  const folder = join(root, 'src/client')
  const texts = new Map<string, string>()
  for (const { line, given, code } of blocks) {
    texts.set(join(folder, `page-line-${line}.mts`), code)
    if (given) texts.set(join(folder, `page-line-${line}-given.d.ts`), given)
  }
  const { config } = ts.readConfigFile(join(folder, 'tsconfig.json'), (name) =>
    readFileSync(name, 'utf8'),
  ) as { config: unknown }
  const options: ts.CompilerOptions = {
    ...ts.parseJsonConfigFileContent(config, ts.sys, folder).options,
    paths: { 'express-kickout/client': [join(folder, 'index.ts')] },
    moduleDetection: ts.ModuleDetectionKind.Force,
  }
  const disk = ts.createCompilerHost(options)
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (name) => texts.has(name) || disk.fileExists(name),
    readFile: (name) => texts.get(name) ?? disk.readFile(name),
    getSourceFile: (name, language, ...rest) => {
      const text = texts.get(name)
      return text === undefined
        ? disk.getSourceFile(name, language, ...rest)
        : ts.createSourceFile(name, text, language)
    },
  }
  const program = ts.createProgram([...texts.keys()], options, host)
  return blocks.flatMap(({ line }) => {
    const file = program.getSourceFile(join(folder, `page-line-${line}.mts`))
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) => `line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
    )
  })
}
