import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'

/*
 * Every ```ts block of these pages compiles against src, with the strictness of this repository. Each block is a module
 * of its own. What a block takes for granted (`declare const user: { id: string }`) stands in an HTML comment that
 * begins with `given` right above it:
 *
 *     <!-- given
 *     declare const user: { id: string }
 *     -->
 */

interface Block {
  /** Line of the opening fence in the README. */
  readonly line: number
  readonly code: string
}

const root = join(import.meta.dirname, '../..')

describe('a block of code', () => {
  test('is found with what it takes for granted, at its line', () => {
    const text = [
      '# Title',
      '<!-- given',
      'declare const user: string',
      '-->',
      '',
      '```ts',
      'user.trim()',
      '```',
      '```sh',
      'npm test',
      '```',
      '- in a list',
      '  ```ts',
      '  const a = 1',
      '  ```',
    ].join('\n')
    expect(blocksOf(text)).toEqual([
      { line: 6, code: 'declare const user: string\nuser.trim()\n' },
      { line: 13, code: '  const a = 1\n' },
    ])
  })

  test('that is wrong is told with its line and message', () => {
    const blocks = [
      { line: 1, code: "import { sep } from 'node:path'\nconsole.log(sep)\n" },
      { line: 7, code: 'const n: number = "x"\n' },
      { line: 9, code: 'export default nobody\n' },
    ]
    expect(problemsIn(blocks)).toEqual([
      expect.stringMatching(/^block at line 7: Type 'string' is not assignable/),
      expect.stringMatching(/^block at line 9: Cannot find name 'nobody'/),
    ])
  })
})

describe.each([
  'README.md',
  'docs/open-connections.md',
  'docs/postgresql.md',
  'docs/sender-constrained.md',
])('%s', (page) => {
  const blocks = blocksOf(readFileSync(join(root, page), 'utf8'))

  test('shows code', () => {
    expect(blocks.length).toBeGreaterThan(0)
  })
  test('shows only code that compiles', () => {
    expect(problemsIn(blocks)).toEqual([])
  })
})

function blocksOf(markdown: string): Block[] {
  const block = /(?:<!-- given\n([^]*?)-->\s*)?^( *)```ts\n([^]*?)^\2```/gm
  return [...markdown.matchAll(block)].map((match) => {
    const fence = match.index + match[0].indexOf('```ts')
    return {
      line: markdown.slice(0, fence).split('\n').length,
      code: `${match[1] ?? ''}${match[3] ?? ''}`,
    }
  })
}

/** What the compiler has to say about the blocks themselves, one text per problem. */
function problemsIn(blocks: Block[]): string[] {
  const names = new Map(blocks.map((block) => [join(root, `readme-line-${block.line}.mts`), block]))
  const options = {
    ...settings(),
    // A README shows how things are used; it need not use all that it names.
    noUnusedLocals: false,
    // Blocks are modules even where they import nothing.
    moduleDetection: ts.ModuleDetectionKind.Force,
  }
  const disk = ts.createCompilerHost(options)
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (name) => names.has(name) || disk.fileExists(name),
    readFile: (name) => names.get(name)?.code ?? disk.readFile(name),
    getSourceFile: (name, language, ...rest) => {
      const block = names.get(name)
      return block
        ? ts.createSourceFile(name, block.code, language)
        : disk.getSourceFile(name, language, ...rest)
    },
  }
  const program = ts.createProgram([...names.keys()], options, host)
  return [...names].flatMap(([name, { line }]) => {
    const file = program.getSourceFile(name)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) =>
        `block at line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
    )
  })
}

function settings(): ts.CompilerOptions {
  const file = join(root, 'tsconfig.json')
  const { config } = ts.readConfigFile(file, (name) => readFileSync(name, 'utf8')) as {
    config: unknown
  }
  return ts.parseJsonConfigFileContent(config, ts.sys, root, undefined, file).options
}
