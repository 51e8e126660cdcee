/**
 * What `npm test` and `npm run test:thorough` run, in order, cheapest first.
 *
 * The first is what a contributor needs on each change, in about three minutes on two cores. The second is the rest: long
 * corpora, faults, the packed package, PostgreSQL, browsers. Together they are every check; `.ci/run` runs both.
 */

/** Tests of the projects `unit` and `redis` that take long: folders and beginnings of file names under `test/`. */
export const longTests = [
  'attacks/',
  'example-app/',
  'flows/',
  'guard/introspection/flood',
  'guard/providers',
  'issuer/keys/external-key',
  'redis/canary',
  'redis/cluster',
  'redis/documentation',
  'redis/faults-',
  'redis/harness',
  'redis/issuer',
  'redis/kick-outs/agreement',
  'redis/kick-outs/clock-skew',
  'redis/kick-outs/republish',
  'redis/pause',
  'redis/races',
  'redis/read-from-replica',
  'redis/sentinel',
  'redis/sessions/session-store',
  'redis/signing-keys/',
  'redis/tls',
  'revocation/freshness',
  'signals/',
  'websocket/',
]

const npm = (...args) => ['npm', 'run', '--silent', ...args]
const jest = (projects, ...args) => ['node', 'scripts/jest.mjs', projects, ...args]

/** Steps of one group run side by side; each is a name and a command. */
export const quickSteps = (jestArguments) => [
  [['redis-server', 'node', 'scripts/ensure-redis.mjs']],
  [
    ['types', ...npm('typecheck')],
    ['lint', ...npm('lint')],
  ],
  [
    ['format', ...npm('format:check')],
    ['unit tests', ...jest('unit', ...jestArguments)],
  ],
  [
    ['redis tests', ...jest('redis', ...jestArguments)],
    ['architecture', ...jest('repository', 'test/repository/architecture.test.ts')],
  ],
]

export const thoroughSteps = (jestArguments) => [
  [['faketime', 'node', 'scripts/ensure-faketime.mjs']],
  [['postgres', 'node', 'scripts/ensure-postgres.mjs']],
  [['pgbouncer', 'node', 'scripts/ensure-pgbouncer.mjs']],
  [['chromium', 'node', 'scripts/ensure-chromium.mjs']],
  [['unused code', ...npm('knip')]],
  [['build', ...npm('build')]],
  [['package', ...npm('check:package')]],
  [['long unit and redis tests', ...jest('unit,redis', ...jestArguments)]],
  [['postgres tests', ...jest('postgres', ...jestArguments)]],
  [['command line tests', ...jest('command-line', ...jestArguments)]],
  // On its own: packing rebuilds dist, which other checks would be using.
  [['repository tests', ...jest('repository', ...jestArguments)]],
  [['API reference', ...npm('docs')]],
  [['consumer tests', ...jest('consumers', ...jestArguments)]],
  [['build', ...npm('build')]],
  [['browser tests', ...jest('browser', ...jestArguments)]],
  [['model', ...npm('model')]],
  [['chaos', ...npm('chaos', '--', '--minutes', '2', '--seed', '1')]],
]
