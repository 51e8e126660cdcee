import { guardLabels } from './guards/index.mjs'
import { issuerLabels } from './issuers/index.mjs'
import { reasons } from './reasons.mjs'
import { median, quantile } from './statistics.mjs'

const yesNo = (holds) => (holds ? 'yes' : '**no**')
const count = (value) => Math.round(value).toLocaleString('en')

function table(columns, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n')
}

const baselines = {
  nothing: 'do-nothing',
  floor: 'the floor',
  'express-oauth2-jwt-bearer-dpop': 'the peer',
  'oidc-provider': 'the peer',
  kickout: 'JWTs',
}

function raceTable(race, labels, baseline) {
  const rows = Object.entries(race)
    .map(([name, { perSecond, cpuMicros, coreShare, ratios }]) => ({
      label: labels[name],
      ratio: median(ratios),
      quartiles: name === baseline ? [] : [quantile(ratios, 0.25), quantile(ratios, 0.75)],
      perSecond: median(perSecond),
      cpuMicros: median(cpuMicros),
      coreShare: median(coreShare),
    }))
    .sort((a, b) => b.ratio - a.ratio)
  return table(
    [
      'what',
      `against ${baselines[baseline]}`,
      'quartiles',
      'per second',
      'CPU, us each',
      'of its core, %',
    ],
    rows.map((row) => [
      row.label,
      row.ratio.toFixed(2),
      row.quartiles.map((share) => share.toFixed(2)).join(' to '),
      count(row.perSecond),
      row.cpuMicros.toFixed(0),
      (row.coreShare * 100).toFixed(0),
    ]),
  )
}

function guardSection(title, races) {
  return Object.entries(races)
    .flatMap(([algorithm, race]) => [
      `## ${title}, ${algorithm}`,
      raceTable(race, guardLabels, 'nothing'),
    ])
    .join('\n\n')
}

const sections = {
  hot: (races) => guardSection('Hot: 200 tokens reused', races),
  cold: (races) => guardSection('Cold: every token new to the server', races),
  refresh({ perSecond, bytes, rotations }) {
    const weights = Object.entries(bytes).map(([name, { afterOne, afterMany }]) => [
      issuerLabels[name],
      count(afterOne),
      count(afterMany),
    ])
    return [
      '## Refresh grants, ES256, one Redis',
      raceTable(perSecond, issuerLabels, 'floor'),
      table(['Redis bytes per session', 'after 1 refresh', `after ${count(rotations)}`], weights),
    ].join('\n\n')
  },
  dpop({ proofs, store: { entries, claims, refused, growthMegabytes } }) {
    return [
      '## DPoP: a known token and a new proof (ES256) with each request',
      raceTable(proofs, guardLabels, 'express-oauth2-jwt-bearer-dpop'),
      `A replay store in memory with ${count(entries)} ids: of ${count(claims)} more ${count(refused)} were 503, and memory grew by ${growthMegabytes.toFixed(1)} MB.`,
    ].join('\n\n')
  },
  elsewhere({ introspection, machines, logout }) {
    const moments = [logout.p50, logout.p99, logout.max].map((ms) => ms.toFixed(1))
    return [
      '## Opaque tokens: 200 reused',
      raceTable(introspection.perGuard, guardLabels, 'kickout'),
      `The introspection endpoint was asked ${count(introspection.asked)} times.`,
      '## client_credentials grants, ES256, one Redis',
      raceTable(machines, issuerLabels, 'oidc-provider'),
      '## From a logout token sent to the last of three servers refusing',
      `${count(logout.logoutsPerSecond)} logouts/s, ${count(logout.requestsPerSecond)} other requests/s, one Redis.`,
      table(['logouts', 'p50, ms', 'p99, ms', 'max, ms'], [[count(logout.samples), ...moments]]),
    ].join('\n\n')
  },
  latency({ kickOutsPerSecond, requestsPerSecond, ...moments }) {
    const row = (what, { samples, p50, p99, max }) => [
      ...[what, count(samples)],
      ...[p50, p99, max].map((ms) => ms.toFixed(1)),
    ]
    return [
      '## From `kickOut` called to the last of three servers',
      `${count(kickOutsPerSecond)} kick-outs/s by two issuers, ${count(requestsPerSecond)} other requests/s, one Redis, after 5 s of the same.`,
      table(
        ['until', 'kick-outs', 'p50, ms', 'p99, ms', 'max, ms'],
        [
          row('it is in force in the last process', moments.inForce),
          row('a client that asks again and again has a 401 from all', moments.refused),
          row(
            '`kickOut()` has resolved, confirmed by all, with nothing else to do',
            moments.resolved,
          ),
        ],
      ),
    ].join('\n\n')
  },
  away({ requestsPerSecond, answers, p50, p99, max }) {
    const times = [p50, p99, max].map((ms) => ms.toFixed(1))
    return [
      '## Redis away',
      `${count(requestsPerSecond)} requests/s to three servers with \`whenStale: 'lookup'\`, from \`maxStalenessMs\` after Redis was killed on.`,
      table(['503s', 'p50, ms', 'p99, ms', 'max, ms'], [[count(answers), ...times]]),
    ].join('\n\n')
  },
  check(sizes) {
    const rows = sizes.map((size) => [
      count(size.entries),
      count(1e6 / size.checkMicros),
      size.checkMicros.toFixed(2),
      size.heapMegabytes.toFixed(0),
      size.rssMegabytes.toFixed(0),
      count(size.redisBytes),
    ])
    const columns = [
      ...['live revocations', '`check()` per second', 'us each', 'heap, MB', 'RSS, MB'],
      'bytes each in Redis',
    ]
    return `## \`check()\` on a replica\n\n${table(columns, rows)}`
  },
  boot(sizes) {
    const rows = sizes.map((size) => [
      count(size.entries),
      size.seconds.toFixed(2),
      size.stallMs.toFixed(0),
    ])
    const columns = ['live revocations', 'boot to live, s', 'longest stall of the event loop, ms']
    return `## Boot of a resource server\n\n${table(columns, rows)}`
  },
  garbage(flood) {
    const rows = [
      ['garbage tokens per second', count(flood.perSecond)],
      ['growth of RSS / of the heap, MB', `${flood.rssMegabytes.toFixed(1)} / ${flood.heapMegabytes.toFixed(1)}`],
      ['key fetches', `${flood.fetches} in ${flood.seconds.toFixed(0)} s, cool-down ${flood.cooldownSeconds} s`],
      ['valid requests served meanwhile', `${count(flood.valid.served)} of ${count(flood.valid.sent)}, p99 ${flood.valid.p99.toFixed(0)} ms`],
    ] // prettier-ignore
    return `## ${count(flood.tokens)} garbage tokens with random \`kid\`\n\n${table(['what', ''], rows)}`
  },
  size(packages) {
    const rows = packages.map((entry) => [
      entry.name,
      entry.importMs.toFixed(0),
      count(entry.kilobytes),
      entry.packages,
    ])
    const columns = ['import', 'ms', 'installed, kB', 'packages']
    return `## Import time and installed size\n\n${table(columns, rows)}`
  },
}

/** The page that README.md quotes. */
export function toMarkdown({ date, minutes, machine, peers, settings, figures, measured }) {
  const { pairs, seconds } = settings
  const versions = Object.entries(peers).map((entry) => entry.join(' '))
  const parts = [
    '# Benchmark',
    `Written by \`npm run bench\` on ${date}, in ${minutes} minutes; not edited by hand. ` +
      `${pairs} pairs of fresh processes for each contender, baseline and contender, measured in the order A B B A, ${seconds} s ` +
      'each; ratios are medians over all pairs, per-second figures are medians. ' +
      'A single request that is not answered as it should be ends the run.',
    table(['machine', ''], [...Object.entries(machine), ['peers', versions.join(', ')]]),
    '## Figures',
    table(
      ['figure', 'to reach', 'reached', '', 'why not'],
      figures.map(({ id, what, toReach, reached, holds }) => [
        what,
        toReach,
        reached.toLocaleString('en'),
        yesNo(holds),
        holds ? '' : (reasons[id] ?? 'not known'),
      ]),
    ),
  ]
  for (const [name, result] of Object.entries(measured)) parts.push(sections[name](result))
  return `${parts.join('\n\n')}\n`
}

export function printFigures(figures) {
  for (const { id, what, toReach, reached, holds } of figures) {
    console.log(`${holds ? 'yes' : 'NO '}  ${what}: to reach ${toReach}, reached ${reached}`)
    if (!holds && reasons[id]) console.log(`       ${reasons[id]}`)
  }
}
