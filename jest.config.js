import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { longTests } from './scripts/checks.mjs'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

/** The package's own name leads to src, so that no unit test depends on a build. */
const ownEntries = Object.fromEntries(
  Object.entries(manifest.exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath, target]) => [
      `^${manifest.name}${subpath.slice(1)}$`,
      target.default.replace(/^\.\/dist\/(.*)\.js$/, '<rootDir>/src/$1.ts'),
    ]),
)

/** EXPRESS_MAJOR=4 and IOREDIS_MAJOR=5 run the same tests with the older peers. */
const olderPeers = {
  ...(process.env.EXPRESS_MAJOR === '4'
    ? { '^express$': fileURLToPath(import.meta.resolve('express4')) }
    : {}),
  ...(process.env.IOREDIS_MAJOR === '5'
    ? { '^ioredis$': fileURLToPath(import.meta.resolve('ioredis5')) }
    : {}),
}

const project = (displayName, folders, { timeoutMs = 5_000, ...options } = {}) => ({
  displayName,
  rootDir: import.meta.dirname,
  testMatch: folders.map((folder) => `<rootDir>/test/${folder}`),
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/coverage/', '<rootDir>/.stryker-tmp/'],
  moduleNameMapper: { ...ownEntries, ...olderPeers },
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript' },
          target: 'es2023',
          transform: { verbatimModuleSyntax: true },
        },
      },
    ],
  },
  globals: { PROJECT_TIMEOUT_MS: timeoutMs },
  setupFilesAfterEnv: ['<rootDir>/scripts/jest-timeout.mjs'],
  ...options,
})

/** `scripts/test.mjs` asks for the quick tests or for the long ones; jest run by hand gets both. */
const part = process.env.KICKOUT_TESTS ?? 'all'
const longPatterns = longTests.map((beginning) => `<rootDir>/test/${beginning}`)

/** @param ignored - folders of other projects */
const inParts = (ignored = []) => ({
  testPathIgnorePatterns: [...ignored, ...(part === 'quick' ? longPatterns : [])],
})
const foldersOf = (project, folders) =>
  part === 'long'
    ? longTests
        .filter((beginning) => beginning.startsWith('redis/') === (project === 'redis'))
        .map((beginning) =>
          beginning.endsWith('/') ? `${beginning}**/*.test.ts` : `${beginning}*.test.ts`,
        )
    : folders

const elsewhere = [
  'redis',
  'postgres',
  'command-line',
  'repository',
  'browser',
  'drills',
  'support',
  'contracts',
  'consumers',
]

/** @type {import('jest').Config} */
export default {
  projects: [
    project(
      'unit',
      foldersOf('unit', ['**/*.test.ts']),
      inParts(elsewhere.map((folder) => `<rootDir>/test/${folder}/`)),
    ),
    project('redis', foldersOf('redis', ['redis/**/*.test.ts']), {
      timeoutMs: 15_000,
      ...inParts(),
    }),
    project('postgres', ['postgres/**/*.test.ts'], { timeoutMs: 30_000 }),
    project('command-line', ['command-line/**/*.test.ts'], { timeoutMs: 60_000 }),
    project('repository', ['repository/**/*.test.ts'], { timeoutMs: 60_000 }),
    // Packs, and installs other people's packages: on its own, and for as long as that takes.
    project('consumers', ['consumers/*.test.ts'], {
      timeoutMs: 300_000,
      globalSetup: '<rootDir>/test/consumers/support/pack.mjs',
      globalTeardown: '<rootDir>/test/consumers/support/clean-up.mjs',
    }),
    project('browser', ['browser/**/*.test.ts'], { timeoutMs: 60_000 }),
  ],
  reporters: ['default', '<rootDir>/scripts/jest-counts.mjs'],
  coverageProvider: 'v8',
  coverageDirectory: 'coverage',
  collectCoverageFrom: ['src/**/*.ts'],
}
