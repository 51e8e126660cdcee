/**
 * `npm run bench:postgres`: PostgreSQL against Redis, and against oidc-provider on the same PostgreSQL, in one run. Prints the
 * table of docs/postgresql.md, which has to be put there by hand. `--quick` is for trying it.
 */
import { describeMachine } from './machine.mjs'
import { prepare } from './prepare.mjs'
import { postgres } from './scenarios/postgres.mjs'
import { median } from './statistics.mjs'

const isQuick = process.argv.includes('--quick')
const started = performance.now()
const settings = {
  pairs: isQuick ? 1 : 3,
  seconds: isQuick ? 1 : 3,
  warmupSeconds: isQuick ? 1 : 3,
  rotations: isQuick ? 50 : 1000,
  latencySeconds: isQuick ? 4 : 20,
  bootRevocations: isQuick ? 5000 : 100_000,
  log: (what) => console.log(`${Math.round((performance.now() - started) / 1000)} s  ${what}`),
}

prepare({ build: !process.argv.includes('--no-build') })
const { latency, idle, boot, refresh, rowBytes, rates } = await postgres(settings)
const ms = ({ p50, p99 }) => `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`
const perSecond = (name) => median(refresh[name].perSecond)
const rows = [
  ['figure', 'PostgreSQL', 'Redis'],
  ['---', '---', '---'],
  [
    `kick-out to the last of three servers refusing (${rates.kickOutsPerSecond} a second, and ${rates.requestsPerSecond} requests)`,
    ms(latency.postgres.refused),
    ms(latency.redis.refused),
  ],
  [
    'the same until it is in force in the last of them',
    ms(latency.postgres.inForce),
    ms(latency.redis.inForce),
  ],
  [
    'refresh grants a second of one process',
    Math.round(perSecond('kickout-postgres')),
    Math.round(perSecond('kickout')),
  ],
  [
    '… against oidc-provider on the same PostgreSQL',
    `× ${median(refresh['kickout-postgres'].ratios).toFixed(1)}`,
    '',
  ],
  [
    `bytes of a session's row after 1 and after ${rowBytes.rotations} refreshes, vacuumed`,
    `${rowBytes.afterOne.row} and ${rowBytes.afterMany.row}`,
    '',
  ],
  ['statements of an idle server a second', idle.postgres.toFixed(1), idle.redis.toFixed(1)],
  [
    `boot with ${boot.entries} live kick-outs`,
    `${boot.postgres.toFixed(2)} s`,
    `${boot.redis.toFixed(2)} s`,
  ],
]
console.log(`\n${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}\n`)
const { cpu, memory, node } = describeMachine()
console.log(`${cpu}, ${memory}, Node ${node}, PostgreSQL with fsync, Redis without persistence`)
console.log(JSON.stringify({ latency, idle, boot, refresh, rowBytes }))
