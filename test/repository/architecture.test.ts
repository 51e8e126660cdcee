import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'

/*
 * The tree is the architecture; these tables are it in one place. An area is a folder of src, or `root` for the files
 * directly in src. A rule names an area (`revocation`) or one file (`issuer/sessions/session-store.ts`).
 *
 *   imports   may be imported by value and as a type
 *   types     may be imported with `import type` only
 *   dynamic   may be loaded with `import()`, from the one file named on the left
 */
const OURS: Record<string, { imports: string[]; types?: string[]; dynamic?: [string, string][] }> =
  {
    root: { imports: [], types: ['root'] },
    // Runs in the browser: nothing of the servers comes along.
    client: { imports: [] },
    revocation: { imports: ['root'] },
    // What may be used once: proofs, assertions, logout tokens.
    replay: { imports: ['root'] },
    // Signing keys at rest: what is stored, and its encryption.
    'key-store': {
      imports: ['root'],
      dynamic: [['key-store/sealed-key-store.ts', 'key-store/seal.ts']],
    },
    // Proofs of possession, as guard and issuer verify them.
    dpop: { imports: ['root'] },
    guard: {
      imports: ['root', 'revocation', 'replay', 'dpop'],
      dynamic: [
        ['guard/environment.ts', 'redis'],
        // Only guards that introspect load what it takes.
        ['guard/introspection/token-router.ts', 'guard/introspection/introspected-tokens.ts'],
      ],
    },
    // The keys of clients are fetched, and judged, as those of issuers are.
    issuer: {
      imports: [
        'root',
        'revocation',
        'replay',
        'dpop',
        'key-store',
        'guard/keys/jwks.ts',
        'guard/keys/key-set.ts',
      ],
    },
    redis: {
      imports: ['root', 'revocation', 'key-store'],
      types: ['issuer/sessions/session-store.ts', 'replay/replay-store.ts'],
      // Only issuers load what reads and writes signing keys.
      dynamic: [['redis/index.ts', 'redis/signing-keys/key-records.ts']],
    },
    postgres: {
      imports: ['root', 'revocation', 'key-store'],
      types: ['issuer/sessions/session-store.ts'],
      dynamic: [['postgres/index.ts', 'postgres/signing-keys/key-records.ts']],
    },
    admin: { imports: ['root', 'revocation', 'guard'], types: ['issuer'] },
    // Open connections, of whichever library: its types are structural.
    websocket: { imports: ['root', 'guard'] },
    // MCP servers, of either version of the SDK: its types are structural.
    mcp: { imports: ['root', 'guard'] },
    // What other providers say: a logout or a ban there.
    signals: {
      imports: ['root', 'revocation', 'replay', 'guard/keys/jwks.ts', 'guard/keys/key-set.ts'],
    },
    // Reads numbers and listens; it holds no guard, issuer or store of its own.
    opentelemetry: { imports: ['root'], types: ['guard', 'issuer', 'revocation'] },
    // What runs in a shell. Nothing imports it; it loads what the command given needs.
    'command-line': {
      imports: [
        'root',
        'revocation',
        'redis',
        'postgres',
        'key-store',
        'issuer/keys/signing-key.ts',
        'issuer/keys/stored-signing-keys.ts',
        'guard/middleware.ts',
        'guard/keys/fetch-json.ts',
        'guard/keys/jwks.ts',
        'guard/keys/metadata.ts',
      ],
      types: ['issuer/sessions/session-store.ts', 'guard/require-auth-options.ts'],
      dynamic: [
        ['command-line/commands.ts', 'command-line'],
        ['command-line/store.ts', 'command-line'],
        ['command-line/key-rotation.ts', 'command-line'],
        ['command-line/key-rotation.ts', 'redis/index.ts'],
        ['command-line/key-rotation.ts', 'postgres/index.ts'],
        ['command-line/postgres-schema.ts', 'command-line/postgres-store.ts'],
        ['command-line/doctor/doctor.ts', 'command-line'],
        ['command-line/doctor/doctor.ts', 'postgres/options.ts'],
      ],
    },
    testing: {
      imports: ['root', 'revocation'],
      types: ['guard'],
    },
  }

/** Of the root files only src/index.ts looks into folders: it is the main entry and re-exports. */
const MAIN_ENTRY = { file: 'index.ts', reExportsFrom: ['root', 'revocation', 'replay', 'guard'] }

/** Packages from outside; one that is not listed may not be imported at all. `node:` may be, everywhere. */
const PACKAGES: Record<string, { imports: string[]; types: string[]; dynamic?: string[] }> = {
  express: {
    imports: ['guard/middleware.ts', 'issuer/router.ts', 'admin/router.ts'],
    types: ['guard', 'issuer', 'admin', 'signals'],
  },
  '@opentelemetry/api': { imports: ['opentelemetry'], types: [] },
  ioredis: {
    imports: ['redis/client/template.ts', 'command-line/redis-client.ts'],
    types: ['redis', 'command-line'],
    dynamic: ['redis'],
  },
  pg: { imports: ['command-line/postgres-store.ts'], types: ['command-line'] },
  jose: {
    imports: ['guard', 'issuer', 'dpop', 'testing', 'signals', 'command-line/token-inspect.ts'],
    types: ['auth.ts', 'key-store', 'command-line'],
  },
  'lru-cache': { imports: ['guard', 'dpop', 'redis'], types: [] },
}

const READS_ENVIRONMENT = ['guard/environment.ts', 'command-line/environment.ts']
const BANNED_NAMES = ['utils', 'helpers', 'common', 'shared', 'lib', 'types', 'interfaces']
const MAX_LINES = 400

type How = 'value' | 're-export' | 'type' | 'dynamic'
interface Import {
  readonly how: How
  readonly from: string
}
/** Path below src (with `/`) to text. */
type Tree = ReadonlyMap<string, string>

const root = join(import.meta.dirname, '../..')

describe('the source tree', () => {
  const tree = readTree(join(root, 'src'))
  const entries = entryFiles()

  test('is there', () => {
    expect([...tree.keys()]).toEqual(expect.arrayContaining(entries))
  })
  test('imports along the arrows of the design only', () => {
    expect(forbiddenImports(tree)).toEqual([])
  })
  test('has no cycle of imports', () => {
    expect(cycles(tree)).toEqual([])
  })
  test('has telling kebab-case file names, and index.ts only where package.json points', () => {
    expect(badNames(tree, entries)).toEqual([])
  })
  test('neither writes to the console nor reads the environment elsewhere', () => {
    expect(forbiddenGlobals(tree)).toEqual([])
  })
  test(`has no file over ${MAX_LINES} lines`, () => {
    expect(longFiles(tree)).toEqual([])
  })
})

describe('each rule notices its violation', () => {
  const forbidden: [string, Record<string, string>, string][] = [
    ['guard to issuer', { 'guard/a.ts': "import { b } from '../issuer/b.ts'" }, 'issuer/b.ts'],
    ['issuer to guard', { 'issuer/a.ts': "import type { B } from '../guard/b.ts'" }, 'guard/b.ts'],
    ['guard to redis', { 'guard/a.ts': "import { b } from '../redis/b.ts'" }, 'redis/b.ts'],
    ['guard to redis later', { 'guard/a.ts': "await import('../redis/b.ts')" }, 'redis/b.ts'],
    ['kernel to guard', { 'revocation/a.ts': "export * from '../guard/b.ts'" }, 'guard/b.ts'],
    ['root by value', { 'a.ts': "import { b } from './b.ts'" }, 'b.ts'],
    ['main entry by value', { 'index.ts': "import { b } from './guard/b.ts'" }, 'guard/b.ts'],
    ['main entry to redis', { 'index.ts': "export { b } from './redis/b.ts'" }, 'redis/b.ts'],
    [
      'a session value in redis',
      { 'redis/a.ts': "import { type B } from '../issuer/sessions/session-store.ts'" },
      'issuer/sessions/session-store.ts',
    ],
    ['an import type expression', { 'redis/a.ts': "let x: import('../guard/b.ts').B" }, 'guard/b'],
    ['express elsewhere', { 'guard/scopes.ts': "import express from 'express'" }, 'express'],
    ['express as a type in redis', { 'redis/a.ts': "import type { R } from 'express'" }, 'express'],
    ['ioredis by value', { 'redis/a.ts': "import { Redis } from 'ioredis'" }, 'ioredis'],
    ['ioredis in guard', { 'guard/a.ts': "await import('ioredis')" }, 'ioredis'],
    ['jose in redis', { 'redis/a.ts': "import { base64url } from 'jose'" }, 'jose'],
    ['an unlisted package', { 'guard/a.ts': "import 'left-pad/deep'" }, 'left-pad'],
    ['require', { 'guard/a.ts': "require('../redis/b.ts')" }, 'redis/b.ts'],
    ['a computed import', { 'guard/a.ts': 'await import(name)' }, 'computed'],
    ['leaving src', { 'guard/a.ts': "import p from '../../package.json'" }, 'package.json'],
  ]
  test.each(forbidden)('%s', (_name, files, mentioned) => {
    expect(forbiddenImports(new Map(Object.entries(files)))).toEqual([
      expect.stringContaining(mentioned),
    ])
  })

  test('and lets the allowed ones pass', () => {
    const files = {
      'index.ts': "export { a } from './guard/a.ts'",
      'augment.ts': "import type { Auth } from './auth.ts'",
      'guard/environment.ts': "const { r } = await import('../redis/index.ts')",
      'guard/middleware.ts': "import express from 'express'; import './bearer.ts'",
      'redis/follow.ts': "import type { Redis } from 'ioredis'; await import('ioredis')",
      'redis/store.ts':
        "import type { Session } from '../issuer/sessions/session-store.ts'; import 'node:fs'",
      'admin/router.ts': "import type { Issuer } from '../issuer/index.ts'",
    }
    expect(forbiddenImports(new Map(Object.entries(files)))).toEqual([])
  })

  test('a cycle, through types too', () => {
    const files = {
      'guard/a.ts': "import './b.ts'",
      'guard/b.ts': "import type { C } from './c.ts'",
      'guard/c.ts': "export * from './a.ts'",
      'guard/d.ts': "import './a.ts'",
    }
    expect(cycles(new Map(Object.entries(files)))).toEqual([
      'guard/a.ts -> guard/b.ts -> guard/c.ts -> guard/a.ts',
    ])
  })

  test('names', () => {
    const names = ['guard/utils.ts', 'guard/keySet.ts', 'guard/index.ts', 'guard/key-set.ts']
    expect(badNames(new Map(names.map((name) => [name, ''])), ['index.ts'])).toHaveLength(3)
  })

  test('globals, but not their names in text', () => {
    const file = (text: string) => forbiddenGlobals(new Map([['guard/a.ts', text]]))
    expect(file('console.log(1)')).toHaveLength(1)
    expect(file("globalThis.console.warn('x')")).toHaveLength(1)
    expect(file('process.env.X')).toHaveLength(1)
    expect(file("process['env']")).toHaveLength(1)
    expect(file("import { env } from 'node:process'")).toHaveLength(1)
    expect(file("// console.log, process.env\nthrow new Error('set process.env.X')")).toEqual([])
  })

  test('length', () => {
    const lines = (count: number) => '\n'.repeat(count)
    expect(longFiles(new Map([['a.ts', lines(MAX_LINES)]]))).toEqual([])
    expect(longFiles(new Map([['a.ts', lines(MAX_LINES + 1)]]))).toHaveLength(1)
  })
})

function readTree(folder: string): Tree {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replaceAll('\\', '/'))
    .sort()
  return new Map(files.map((name) => [name, readFileSync(join(folder, name), 'utf8')]))
}

/** The source files that package.json `exports` points at. */
function entryFiles(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { default: string }>
  }
  return Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string'
      ? []
      : [target.default.replace(/^\.\/dist\/(.*)\.js$/, (_all, path: string) => `${path}.ts`)],
  )
}

const areaOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : 'root')
const covers = (rules: string[] | undefined, file: string) =>
  rules?.some((rule) => rule === file || rule === areaOf(file)) ?? false

function forbiddenImports(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) =>
    importsOf(file, text)
      .filter((found) => !isAllowed(file, found))
      .map(({ how, from }) => `${file} must not import ${from} (${how})`),
  )
}

function isAllowed(file: string, { how, from }: Import): boolean {
  if (from.startsWith('node:')) return true
  if (!from.startsWith('.')) {
    const rule = PACKAGES[packageOf(from)]
    if (!rule) return false
    if (how === 'dynamic') return covers(rule.dynamic, file)
    return covers(rule.imports, file) || (how === 'type' && covers(rule.types, file))
  }

  const target = resolve(file, from)
  if (target.startsWith('../')) return false
  if (file === MAIN_ENTRY.file) return how !== 'value' && covers(MAIN_ENTRY.reExportsFrom, target)
  const area = areaOf(file)
  const rule = OURS[area]
  if (!rule) return false
  if (how === 'dynamic') {
    return rule.dynamic?.some(([by, of]) => by === file && covers([of], target)) ?? false
  }
  if (area !== 'root' && areaOf(target) === area) return true
  return covers(rule.imports, target) || (how === 'type' && covers(rule.types, target))
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function resolve(file: string, specifier: string): string {
  return posix.join(posix.dirname(file), specifier)
}

/** Every import of a file. A list of `type` names without `import type` still loads the module: it is a value. */
function importsOf(file: string, text: string): Import[] {
  const found: Import[] = []
  walk(file, text, (node) => {
    if (ts.isImportDeclaration(node)) {
      const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      found.push({ how: typeOnly ? 'type' : 'value', from: textOf(node.moduleSpecifier) })
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      const how = node.isTypeOnly ? 'type' : 're-export'
      found.push({ how, from: textOf(node.moduleSpecifier) })
    } else if (ts.isImportTypeNode(node)) {
      const { argument } = node
      found.push({
        how: 'type',
        from: ts.isLiteralTypeNode(argument) ? textOf(argument.literal) : 'computed',
      })
    } else if (ts.isCallExpression(node)) {
      const { expression } = node
      const isRequire = ts.isIdentifier(expression) && expression.text === 'require'
      if (isRequire) found.push({ how: 'value', from: textOf(node.arguments[0]) })
      if (expression.kind === ts.SyntaxKind.ImportKeyword) {
        found.push({ how: 'dynamic', from: textOf(node.arguments[0]) })
      }
    }
  })
  return found
}

function textOf(node: ts.Node | undefined): string {
  return node && ts.isStringLiteralLike(node) ? node.text : 'computed'
}

function walk(file: string, text: string, visit: (node: ts.Node) => void): void {
  const descend = (node: ts.Node) => {
    visit(node)
    ts.forEachChild(node, descend)
  }
  descend(ts.createSourceFile(file, text, ts.ScriptTarget.ES2023))
}

/** Each cycle once, from its alphabetically first file. Dynamic imports are left out: they run later. */
function cycles(tree: Tree): string[] {
  const targets = new Map(
    [...tree].map(([file, text]) => [
      file,
      importsOf(file, text)
        .filter(({ how, from }) => how !== 'dynamic' && from.startsWith('.'))
        .map(({ from }) => resolve(file, from)),
    ]),
  )
  const found = new Set<string>()
  const done = new Set<string>()
  const follow = (file: string, path: string[]) => {
    const at = path.indexOf(file)
    if (at >= 0) {
      const loop = path.slice(at)
      const first = loop.indexOf([...loop].sort()[0] ?? file)
      const turned = [...loop.slice(first), ...loop.slice(0, first)]
      found.add([...turned, turned[0]].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const target of targets.get(file) ?? []) follow(target, [...path, file])
    done.add(file)
  }
  for (const file of tree.keys()) follow(file, [])
  return [...found]
}

function badNames(tree: Tree, entries: string[]): string[] {
  return [...tree.keys()].filter((file) => {
    const name = posix.basename(file, '.ts')
    if (name === 'index') return !entries.includes(file)
    const kebab = file.split('/').every((part) => /^[a-z0-9]+(-[a-z0-9]+)*(\.ts)?$/.test(part))
    return !kebab || file.split(/[/.]/).some((part) => BANNED_NAMES.includes(part))
  })
}

function forbiddenGlobals(tree: Tree): string[] {
  return [...tree].flatMap(([file, text]) => {
    const found: string[] = []
    const report = (what: string) => found.push(`${file} uses ${what}`)
    walk(file, text, (node) => {
      if (ts.isIdentifier(node) && node.text === 'console') report('console')
      if (READS_ENVIRONMENT.includes(file)) return
      if (
        (ts.isPropertyAccessExpression(node) && node.name.text === 'env') ||
        (ts.isElementAccessExpression(node) && textOf(node.argumentExpression) === 'env')
      ) {
        if (/\bprocess$/.test(nameOf(node.expression))) report('process.env')
      }
      if (ts.isImportDeclaration(node) && textOf(node.moduleSpecifier) === 'node:process') {
        report('node:process')
      }
    })
    return found
  })
}

function nameOf(node: ts.Expression): string {
  if (ts.isIdentifier(node)) return node.text
  return ts.isPropertyAccessExpression(node) ? node.name.text : ''
}

function longFiles(tree: Tree): string[] {
  return [...tree]
    .map(([file, text]) => ({ file, lines: text.replace(/\n$/, '').split('\n').length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${file} has ${lines} lines`)
}
