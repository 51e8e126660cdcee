import { beforeAll, describe, expect, test } from '@jest/globals'
import { makeProject, OPTIONAL_PEERS, type Project } from './support/project.ts'

/*
 * TypeScript without `skipLibCheck`, in every way that finds our types. Declarations are emitted, so that each inferred type has
 * a name that another project can import.
 */

interface Compiler {
  readonly options: Readonly<Record<string, unknown>>
  /** What `.ts` files are, hence what their imports become. */
  readonly type: 'commonjs' | 'module'
  /** `import x = require()` is there for files that are, or may be, CommonJS. */
  readonly required: boolean
  /** Whether Node can run what comes out. */
  readonly runs: boolean
}

const COMPILERS: Compiler[] = [
  {
    options: { module: 'commonjs', moduleResolution: 'node10' },
    type: 'commonjs',
    required: true,
    runs: true,
  },
  { options: { module: 'node16' }, type: 'commonjs', required: true, runs: true },
  { options: { module: 'node16' }, type: 'module', required: true, runs: true },
  { options: { module: 'nodenext' }, type: 'commonjs', required: true, runs: true },
  { options: { module: 'nodenext' }, type: 'module', required: true, runs: true },
  {
    options: { module: 'esnext', moduleResolution: 'bundler' },
    type: 'module',
    required: false,
    runs: true,
  },
  {
    options: { module: 'preserve', moduleResolution: 'bundler' },
    type: 'commonjs',
    required: true,
    runs: false,
  },
]

const PROJECTS = [
  { typescript: '~5.7', express: '^5', ioredis: '^6' },
  { typescript: '^5.9', express: '^4.21', ioredis: '^5' },
  { typescript: '^6', express: '^5', ioredis: '^6' },
]

describe.each(PROJECTS)('TypeScript $typescript, Express $express', (packages) => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({
      files: 'typescript',
      packages: {
        ...OPTIONAL_PEERS,
        ...packages,
        '@types/express': packages.express === '^5' ? '^5' : '^4.17.21',
        '@types/node': '^20',
        '@types/pg': '^8',
      },
    })
  })

  test.each(COMPILERS)('$type, $options', async ({ options, type, required, runs }) => {
    await project.write('package.json', { private: true, type })
    const isOld = options['moduleResolution'] === 'node10' && packages.typescript === '^6'
    const compile = async (name: string, files: string[], extra: object) => {
      await project.write(name, {
        compilerOptions: {
          ...options,
          ...(isOld && { ignoreDeprecations: '6.0' }),
          target: 'es2022',
          lib: ['es2023'],
          types: ['node'],
          strict: true,
          exactOptionalPropertyTypes: true,
          esModuleInterop: true,
          skipLibCheck: false,
          declaration: true,
          outDir: 'out',
          rootDir: '.',
          ...extra,
        },
        files,
      })
      await project.node(['node_modules/typescript/bin/tsc', '-p', name])
    }
    const files = ['every-entry.ts', 'run.ts', ...(required ? ['required.cts'] : [])]
    await compile('tsconfig.json', files, {})
    await compile('tsconfig.page.json', ['page.ts'], { lib: ['es2023', 'dom'], types: [] })
    if (runs) expect(await project.node(['out/run.js'])).toBe('let in u1\n')
  })
})
