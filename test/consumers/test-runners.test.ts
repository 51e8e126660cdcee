import { beforeAll, describe, expect, test } from '@jest/globals'
import { makeProject, NODES, nodeOf, OPTIONAL_PEERS, type Project } from './support/project.ts'

/* Test runners other than plain Jest, each set up as its own documentation begins. */

const common = { express: '^5', supertest: '^7' }
const nodes = new Map<string, string>()

beforeAll(async () => {
  for (const version of NODES) nodes.set(version, await nodeOf(version))
})

describe.each(['^5.9', '^6'])('ts-jest with TypeScript %s', (typescript) => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({
      files: 'ts-jest',
      packages: {
        ...common,
        jest: '^30',
        'ts-jest': '^29.4',
        typescript,
        '@types/express': '^5',
        '@types/jest': '^30',
        '@types/node': '^20',
        '@types/supertest': '^7',
      },
    })
    await project.write('jest.config.js', "module.exports = { preset: 'ts-jest' }\n")
  })

  const modules = [
    {
      module: 'commonjs',
      ...(typescript === '^6' && { ignoreDeprecations: '6.0' }),
      moduleResolution: 'node10',
    },
    { module: 'node16' },
    { module: 'nodenext' },
  ]
  test.each(modules)('module $module', async (options) => {
    await project.write('tsconfig.json', {
      compilerOptions: {
        ...options,
        target: 'es2022',
        strict: true,
        esModuleInterop: true,
        isolatedModules: options.module !== 'commonjs',
        types: ['node', 'jest'],
      },
    })
    const printed = await project.node(['node_modules/jest/bin/jest.js', '--ci', '--runInBand'])
    expect(printed).toMatch(/Tests: +2 passed, 2 total/)
  })
})

describe('Vitest', () => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({
      files: 'vitest',
      packages: { ...common, vitest: '^4' },
      type: 'module',
    })
  })

  test.each(NODES)('on Node %s', async (version) => {
    const printed = await project.node(['node_modules/vitest/vitest.mjs', 'run'], {
      node: nodes.get(version)!,
      env: { NO_COLOR: '1' },
    })
    expect(printed).toMatch(/Tests +2 passed \(2\)/)
  })
})

describe('Mocha', () => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({ files: 'mocha', packages: { ...common, mocha: '^12' } })
  })

  test.each(NODES)('on Node %s', async (version) => {
    const options = { node: nodes.get(version)! }
    // Mocha looks for .mjs too; it ends by itself only where nothing holds the process.
    const printed = await project.node(['node_modules/mocha/bin/mocha.js'], options)
    expect(printed).toMatch(/3 passing/)
  })
})

describe('node:test', () => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({ files: 'node-test', packages: { ...common, ...OPTIONAL_PEERS } })
  })

  test.each(NODES)('on Node %s', async (version) => {
    const printed = await project.node(['--test', '--test-reporter=tap'], {
      node: nodes.get(version)!,
    })
    expect(printed).toMatch(/^# pass 4$/m)
    expect(printed).toMatch(/^# fail 0$/m)
  })
})
