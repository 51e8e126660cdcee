import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'

/*
 * The package as its users get it: packed, installed into an empty project, loaded and compiled there.
 * test/repository/consumer holds the files of that project.
 */

const root = join(import.meta.dirname, '../..')
const tsc = join(root, 'node_modules/typescript/bin/tsc')

interface Manifest {
  readonly version: string
  readonly files: string[]
  readonly exports: Record<string, string | Record<string, unknown>>
  readonly typesVersions: Record<string, Record<string, string[]>>
}
interface Peers {
  readonly name: string
  /** Where the wanted version is installed in this repository, by package. */
  readonly packages: Record<string, string>
  /** Packages that only types come from, with a range. */
  readonly types: Record<string, string>
}

const CONSUMERS: Peers[] = [
  {
    name: 'Express 5 and ioredis 6',
    packages: {
      express: 'express',
      ioredis: 'ioredis',
      '@opentelemetry/api': '@opentelemetry/api',
      ws: 'ws',
    },
    types: { '@types/express': '^5.0.0' },
  },
  {
    name: 'Express 4 and ioredis 5',
    packages: {
      express: 'express4',
      ioredis: 'ioredis5',
      '@opentelemetry/api': '@opentelemetry/api',
      ws: 'ws',
    },
    types: { '@types/express': '^4.17.21' },
  },
  {
    name: 'Express 5 without optional peers',
    packages: { express: 'express' },
    types: { '@types/express': '^5.0.0' },
  },
]

/** What CONTRACT and README promise of each entry, at least. */
const NAMES: Record<string, string[]> = {
  'express-kickout': [
    'authErrorHandler',
    'getAuth',
    'isAuthError',
    'memoryReplayStore',
    'memoryRevocations',
    'protectedResourceMetadata',
    'requireAnyScope',
    'requireAuth',
    'requireAuthContext',
    'requireClaim',
    'requireScope',
  ],
  'express-kickout/issuer': [
    'createIssuer',
    'generateSigningKey',
    'hashClientSecret',
    'memoryStore',
  ],
  'express-kickout/admin': ['adminRouter'],
  'express-kickout/opentelemetry': ['instrument'],
  'express-kickout/postgres': [
    'postgresKeyStore',
    'postgresRevocations',
    'postgresStore',
    'schemaSql',
  ],
  'express-kickout/redis': ['redisKeyStore', 'redisReplayStore', 'redisRevocations', 'redisStore'],
  'express-kickout/testing': ['createTestIssuer'],
  'express-kickout/websocket': ['acceptUpgrades', 'getConnection', 'graphqlWsAuth', 'socketIoAuth'],
  'express-kickout/mcp': ['tokenVerifier'],
  'express-kickout/client': ['KickoutClient', 'SignedOutError', 'UnavailableError'],
  'express-kickout/signals': ['backChannelLogout', 'universalLogout'],
  'express-kickout/augment': [],
}

/** How consumers compile. `import x = require()` is for modules that may be CommonJS. */
const COMPILERS = [
  { module: 'nodenext', moduleResolution: 'nodenext', requires: true },
  { module: 'node16', moduleResolution: 'node16', requires: true },
  { module: 'esnext', moduleResolution: 'bundler', requires: false },
]

/** Fetched by npx, which took 5 to 8 s each; a second later on. */
const OTHER_NODES = [22, 24]

/** Node then knows neither `module-sync` nor `require()` of ES modules, like a loader that never did. */
const withoutRequireOfEsm = '--no-experimental-require-module'

/** Of jose, what a guard has no use for: all of it comes with its main entry. */
const signsOrEncrypts =
  /\/jose\/dist\/webapi\/(index\.js|jwe\/|jwks\/|key\/generate|jwt\/(sign|encrypt|decrypt|unsecured)|jws\/.*sign)/

const exec = promisify(execFile)
/** For what may have to download. */
const slow = { timeoutMs: 120_000 }
let work: string

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'kickout-package-'))
  await run('npm', ['pack', '--silent', '--pack-destination', work], root, slow)
  const tarball = (await readdir(work)).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack made no tarball')
  for (const consumer of CONSUMERS) await install(consumer, join(work, tarball))
}, 300_000)

afterAll(async () => {
  await rm(work, { recursive: true, force: true })
})

describe('the tarball', () => {
  test('holds the code and types of src, the files of package.json, and nothing else', async () => {
    const { files } = await manifestIn(root)
    const sources = (await filesIn(join(root, 'src'))).filter((name) => name.endsWith('.ts'))
    const built = sources
      .map((name) => name.replace(/\.ts$/, ''))
      .flatMap((name) =>
        // The browser's entry is one file of code.
        name.startsWith('client/') && name !== 'client/index'
          ? [`dist/${name}.d.ts`]
          : [`dist/${name}.js`, `dist/${name}.d.ts`],
      )
    const commonJs = Object.values(await entriesOf(root)).flatMap((entry) => [
      `${entry}.cjs`,
      `${entry}.d.cts`,
    ])
    const packed = await filesIn(installed(CONSUMERS[0]!))
    const isChunk = (name: string) => /^dist\/chunks\/[a-z-]+(\.cjs|\.d\.cts)$/.test(name)
    expect(packed.filter(isChunk)).toContain('dist/chunks/jose.cjs')
    expect(packed.filter((name) => !isChunk(name))).toEqual(
      ['package.json', ...files.filter((name) => name !== 'dist'), ...built, ...commonJs].sort(),
    )
  })

  test('offers each entry as an ES module first, then as CommonJS', async () => {
    const { exports, typesVersions } = await manifestIn(root)
    const entries = await entriesOf(root)
    for (const [subpath, entry] of Object.entries(entries)) {
      const [esm, commonJs] = [`./${entry}.js`, `./${entry}.cjs`]
      // In this order: Node takes the first that it knows.
      expect(Object.entries(exports[subpath]!)).toEqual([
        ['types', { require: `./${entry}.d.cts`, default: `./${entry}.d.ts` }],
        ['module-sync', esm],
        ['import', esm],
        ['require', commonJs],
        ['default', esm],
      ])
    }
    // For compilers that do not read `exports`.
    const subpaths = Object.entries(entries).filter(([subpath]) => subpath !== '.')
    expect(typesVersions).toEqual({
      '*': Object.fromEntries(
        subpaths.map(([subpath, entry]) => [subpath.slice('./'.length), [`./${entry}.d.cts`]]),
      ),
    })
  })

  test('carries jose in the CommonJS build, with its licence', async () => {
    const folder = installed(CONSUMERS[0]!)
    const files = (await filesIn(folder)).filter((name) => /\.(cjs|d\.cts)$/.test(name))
    for (const file of files) {
      expect(await readFile(join(folder, file), 'utf8')).not.toMatch(/(require\(|from )['"]jose/)
    }
    const licence = await readFile(join(root, 'node_modules/jose/LICENSE.md'), 'utf8')
    expect(await readFile(join(folder, 'dist/chunks/jose.cjs'), 'utf8')).toContain(licence)
  })

  test('points to no source map', async () => {
    const folder = installed(CONSUMERS[0]!)
    for (const file of await filesIn(folder)) {
      expect(await readFile(join(folder, file), 'utf8')).not.toContain('sourceMappingURL')
    }
  })

  test('has every entry that is checked here, and no other', async () => {
    const entries = Object.keys(await entriesOf(root))
    expect(entries.map((subpath) => `express-kickout${subpath.slice(1)}`).sort()).toEqual(
      Object.keys(NAMES).sort(),
    )
  })
})

describe.each(CONSUMERS)('with $name', (consumer) => {
  const hasRedis = 'ioredis' in consumer.packages
  const needsPeers = ['express-kickout/redis', 'express-kickout/opentelemetry']
  const entries = Object.keys(NAMES).filter((name) => hasRedis || !needsPeers.includes(name))

  test('every entry gives the same names by import and by require()', async () => {
    const { stdout } = await run('node', ['names.mjs', ...entries], folderOf(consumer))
    const given = JSON.parse(stdout) as Record<string, { imported: string[]; required: string[] }>
    for (const entry of entries) {
      const { imported, required } = given[entry]!
      expect(imported).toEqual(expect.arrayContaining(NAMES[entry]!))
      // The markers by which a CommonJS loader tells an ES module.
      const markers = ['__esModule', 'module.exports']
      expect(required.filter((name) => !markers.includes(name))).toEqual(imported)
    }
  })

  // How modules are found does not depend on the peers: all ways once, then the strictest one.
  const compilers = consumer === CONSUMERS[0] ? COMPILERS : COMPILERS.slice(0, 1)
  test.each(compilers)('compiles as $module, $moduleResolution', async (compiler) => {
    const { requires, ...options } = compiler
    const files = [
      'api.mts',
      ...(hasRedis ? ['redis.mts', 'opentelemetry.mts'] : []),
      ...(requires ? ['require.cts'] : []),
    ]
    const project = `tsconfig.${options.module}.json`
    await writeFile(
      join(folderOf(consumer), project),
      JSON.stringify({
        compilerOptions: {
          ...options,
          target: 'es2022',
          lib: ['es2022'],
          types: ['node'],
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          noEmit: true,
        },
        files,
      }),
    )
    await run(process.execPath, [tsc, '-p', project], folderOf(consumer))
  })

  test('gives the same names in the CommonJS build', async () => {
    const args = [withoutRequireOfEsm, 'names.mjs', ...entries]
    const { stdout } = await run('node', args, folderOf(consumer))
    const given = JSON.parse(stdout) as Record<string, { imported: string[]; required: string[] }>
    for (const entry of entries) expect(given[entry]!.required).toEqual(given[entry]!.imported)
  })

  test('there is one copy in a process', async () => {
    const { stdout } = await run('node', ['one-copy.mjs', ...entries], folderOf(consumer))
    expect(stdout).toBe('one copy\n')
  })

  if ('ws' in consumer.packages) {
    test('two copies work with each other', async () => {
      await run('node', [withoutRequireOfEsm, 'two-copies.mjs'], folderOf(consumer))
    })
  }

  test('guards a route and kicks out, prints nothing, keeps no process alive', async () => {
    const { stdout, stderr } = await run('node', ['smoke.mjs'], folderOf(consumer))
    expect({ stdout, stderr }).toEqual({ stdout: 'kicked out\n', stderr: '' })
  })

  test('a resource server loads neither the issuer nor anything of Redis', async () => {
    const loaded = await modulesLoadedBy('resource-server.mjs', folderOf(consumer))
    const ours = pathToFileURL(join(installed(consumer), 'dist/')).href
    expect(loaded).toContain(`${ours}index.js`)
    const unwanted =
      /\/express-kickout\/dist\/(redis|postgres|issuer|admin|testing|websocket|mcp|signals|client|opentelemetry|command-line|key-store)\/|\/introspection\/(introspected|endpoint|answer)|\/node_modules\/(ioredis|@opentelemetry)\//
    expect(loaded.filter((url) => unwanted.test(url) || signsOrEncrypts.test(url))).toEqual([])
  })

  if (hasRedis) {
    test('nor what makes and keeps signing keys, where it follows kick-outs on Redis', async () => {
      const loaded = await modulesLoadedBy('resource-server-redis.mjs', folderOf(consumer))
      const ours = pathToFileURL(join(installed(consumer), 'dist/')).href
      expect(loaded).toContain(`${ours}redis/index.js`)
      const unwanted =
        /\/express-kickout\/dist\/(postgres|issuer|admin|testing|websocket|mcp|signals|client|opentelemetry|command-line|key-store\/seal\.|redis\/signing-keys|redis\/scripts\/\w+-signing-keys)|\/node_modules\/@opentelemetry\//
      expect(loaded.filter((url) => unwanted.test(url) || signsOrEncrypts.test(url))).toEqual([])
    })

    test('nor in the CommonJS build', async () => {
      const args = [withoutRequireOfEsm, 'resource-server-redis.cjs']
      const { stdout } = await run('node', args, folderOf(consumer))
      const loaded = (JSON.parse(stdout) as string[]).map((path) => path.replaceAll('\\', '/'))
      const ours = loaded.filter((path) => path.includes('/express-kickout/'))
      expect(ours).toContainEqual(expect.stringMatching(/dist\/redis\/index\.cjs$/))
      expect(ours.filter((path) => /signing-keys|issuer|postgres/.test(path))).toEqual([])
      // A chunk has several modules: what encrypts signing keys may be in none.
      for (const path of ours)
        expect(await readFile(path, 'utf8')).not.toContain('createDecipheriv')
    })
  }

  test('brings the command, which needs the client of a store only where it uses one', async () => {
    const folder = folderOf(consumer)
    const command = join(folder, 'node_modules/.bin/express-kickout')
    const { version } = await manifestIn(root)
    expect((await run('npx', ['express-kickout', '--version'], folder)).stdout).toBe(`${version}\n`)
    const { stdout: key } = await run(command, ['keys', 'generate'], folder)
    expect(JSON.parse(key)).toMatchObject({ alg: 'ES256' })
    const { stdout: sql } = await run(command, ['postgres', 'migrate', '--print'], folder)
    expect(sql).toContain('CREATE SCHEMA IF NOT EXISTS "kickout"')
    const status = run(command, ['status', '--redis', 'redis://127.0.0.1:1'], folder)
    const failure = hasRedis ? 'connect ECONNREFUSED 127.0.0.1:1' : 'npm install ioredis'
    await expect(status).rejects.toThrow(failure)
  })

  test('nor does the CommonJS build', async () => {
    const args = [withoutRequireOfEsm, 'resource-server.cjs']
    const { stdout } = await run('node', args, folderOf(consumer))
    const loaded = (JSON.parse(stdout) as string[]).map((path) => path.replaceAll('\\', '/'))
    const ours = loaded.filter((path) => path.includes('/express-kickout/'))
    expect(ours).toContainEqual(expect.stringMatching(/dist\/index\.cjs$/))
    expect(ours.filter((path) => !/dist\/(index|chunks\/[a-z-]+)\.cjs$/.test(path))).toEqual([])
    expect(loaded.filter((path) => /node_modules\/(ioredis|pg|ws)\//.test(path))).toEqual([])
  })
})

describe('on other versions of Node', () => {
  const runs = OTHER_NODES.flatMap((node) =>
    CONSUMERS.slice(0, 2).map((peers) => ({ node, peers })),
  )
  test.each(runs)(
    'Node $node, $peers.name',
    async ({ node, peers }) => {
      const command = ['--yes', '--prefer-offline', '--package', `node@${node}`, '--', 'node']
      const { stdout: version } = await run('npx', [...command, '--version'], folderOf(peers), slow)
      expect(version).toMatch(new RegExp(`^v${node}\\.`))
      const { stdout } = await run('npx', [...command, 'smoke.mjs'], folderOf(peers))
      expect(stdout).toBe('kicked out\n')
      for (const script of ['names.mjs', 'one-copy.mjs']) {
        await run('npx', [...command, script, ...Object.keys(NAMES)], folderOf(peers))
      }
    },
    180_000,
  )
})

function folderOf(consumer: Peers): string {
  return join(work, consumer.name.replaceAll(' ', '-'))
}

function installed(consumer: Peers): string {
  return join(folderOf(consumer), 'node_modules/express-kickout')
}

async function install(consumer: Peers, tarball: string): Promise<void> {
  const folder = folderOf(consumer)
  await mkdir(folder)
  await cp(join(import.meta.dirname, 'consumer'), folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const { version: nodeTypes } = await manifestIn(join(root, 'node_modules/@types/node'))
  const wanted: Record<string, string> = { ...consumer.types, '@types/node': nodeTypes }
  for (const [name, alias] of Object.entries(consumer.packages)) {
    wanted[name] = (await manifestIn(join(root, 'node_modules', alias))).version
  }
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--silent']
  const packages = Object.entries(wanted).map(([name, range]) => `${name}@${range}`)
  await run('npm', ['install', ...flags, tarball, ...packages], folder, slow)
}

async function modulesLoadedBy(script: string, folder: string): Promise<string[]> {
  const record = join(folder, 'loaded.txt')
  await writeFile(record, '')
  const { stdout } = await run('node', ['--import', './record-loads.mjs', script], folder, {
    env: { LOADED_MODULES: record },
  })
  const commonJs = JSON.parse(stdout.trim().split('\n').at(-1) ?? '[]') as string[]
  const modules = (await readFile(record, 'utf8')).trim().split('\n')
  return [...modules, ...commonJs.map((path) => pathToFileURL(path).href)]
}

async function manifestIn(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest
}

/** `dist/issuer/index` by `./issuer`, and so on. */
async function entriesOf(folder: string): Promise<Record<string, string>> {
  const { exports } = await manifestIn(folder)
  return Object.fromEntries(
    Object.entries(exports).flatMap(([subpath, target]) =>
      typeof target === 'object'
        ? [[subpath, (target['default'] as string).replace(/^\.\/|\.js$/g, '')]]
        : [],
    ),
  )
}

/** Paths below a folder, sorted, with `/`. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
}

/** Runs a command to its end. @throws Error with all that it printed, when it fails or does not end by itself. */
async function run(
  command: string,
  args: string[],
  cwd: string,
  { env = {}, timeoutMs = 50_000 }: { env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<{ stdout: string; stderr: string }> {
  try {
    return await exec(command, args, { cwd, env: { ...process.env, ...env }, timeout: timeoutMs })
  } catch (error) {
    const { stdout, stderr, killed } = error as { stdout: string; stderr: string; killed: boolean }
    const how = killed ? `did not end within ${timeoutMs} ms` : 'failed'
    throw new Error(`${command} ${args.join(' ')} ${how}:\n${stdout}\n${stderr}`, { cause: error })
  }
}
