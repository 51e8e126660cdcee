import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'
import { type Block, blocksOf, documentationPages, readPage } from '../support/documentation.ts'

/*
 * Every block of code of README.md and docs compiles against src, with the strictness of this repository. Each block is a
 * module of its own. test/support/documentation.ts says how a page declares what a block takes for granted.
 */

const root = join(import.meta.dirname, '../..')

/** Pages whose code runs in a browser: another test compiles them, with the types of the DOM. */
const COMPILED_ELSEWHERE: Record<string, string> = {
  'docs/browser.md': 'test/repository/browser-page.test.ts',
}

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
      '  <!-- run -->',
      '  ```js',
      '  const a = 1',
      '  ```',
    ].join('\n')
    expect(blocksOf('a.md', text)).toEqual([
      {
        page: 'a.md',
        line: 6,
        code: 'declare const user: string\nuser.trim()\n',
        shown: 'user.trim()\n',
        isRun: false,
      },
      { page: 'a.md', line: 14, code: '  const a = 1\n', shown: '  const a = 1\n', isRun: true },
    ])
  })

  test('that is wrong is reported with its line and message', () => {
    const block = (line: number, code: string): Block => {
      return { page: 'a.md', line, code, shown: code, isRun: false }
    }
    const blocks = [
      block(1, "import { sep } from 'node:path'\nconsole.log(sep)\n"),
      block(7, 'const n: number = "x"\n'),
      block(9, 'export default nobody\n'),
    ]
    expect(problemsIn(blocks)).toEqual([
      expect.stringMatching(/^a\.md, block at line 7: Type 'string' is not assignable/),
      expect.stringMatching(/^a\.md, block at line 9: Cannot find name 'nobody'/),
    ])
  })
})

test('the pages show only code that compiles', () => {
  const pages = documentationPages().filter((page) => !(page in COMPILED_ELSEWHERE))
  const blocks = pages.flatMap((page) => blocksOf(page, readPage(page)))
  expect(blocks.length).toBeGreaterThan(pages.length)
  expect(problemsIn(blocks)).toEqual([])
}, 180_000)

/** What the compiler has to say about the blocks themselves, one text per problem. */
function problemsIn(blocks: Block[]): string[] {
  const names = new Map(
    blocks.map((block) => [
      join(root, `${block.page.replace(/\W+/g, '-')}-line-${block.line}.mts`),
      block,
    ]),
  )
  const options = {
    ...settings(),
    // A page shows how things are used; it need not use all that it names.
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
  return [...names].flatMap(([name, { page, line }]) => {
    const file = program.getSourceFile(name)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) =>
        `${page}, block at line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
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
