import { ratioOf as ratio } from './statistics.mjs'

/** Peers that verify every token each time. */
const withoutTokenCache = ['express-oauth2-jwt-bearer', 'express-jwt', 'jose', 'mcp-sdk']

const atLeast = (bar) => ({ bar, text: `>= ${bar}`, holds: (value) => value >= bar })
const atMost = (bar, unit = '') => ({
  bar,
  text: `<= ${bar.toLocaleString('en')}${unit && ` ${unit}`}`,
  holds: (value) => value <= bar,
})

function hotFigures({ RS256: race }) {
  const against = (other) => ratio(race, 'kickout', other)
  return [
    ['hot.floor', 'hot: requests/s against the floor', against('floor'), atLeast(0.98)],
    ['hot.nothing', 'hot: against a do-nothing middleware', against('nothing'), atLeast(0.95)],
    [
      'hot.uncached',
      'hot: against the fastest peer without a token cache',
      Math.min(...withoutTokenCache.map(against)),
      atLeast(1.7),
    ],
    [
      'hot.express-jwt-redis',
      'hot: against express-jwt + a Redis look-up per request',
      against('express-jwt-redis'),
      atLeast(3.3),
    ],
    ['hot.fast-jwt', 'hot: against fast-jwt with its cache', against('fast-jwt'), atLeast(1.05)],
  ]
}

function coldFigures(races) {
  return Object.entries(races).map(([algorithm, race]) => [
    `cold.jose.${algorithm}`,
    `cold ${algorithm}: requests/s against jose by hand`,
    ratio(race, 'kickout', 'jose'),
    atLeast(1),
  ])
}

function refreshFigures({ perSecond, bytes, rotations }) {
  const against = (other) => ratio(perSecond, 'kickout', other)
  const { afterOne, afterMany } = bytes.kickout
  return [
    [
      'refresh.floor',
      'refresh grants/s (ES256) against the floor',
      against('floor'),
      atLeast(0.85),
    ],
    [
      'refresh.peer',
      'refresh grants/s against oidc-provider',
      against('oidc-provider'),
      atLeast(2.2),
    ],
    [
      'refresh.bytes',
      `Redis bytes per session after ${rotations} refreshes, against after 1`,
      afterMany / afterOne,
      // A counter with more digits may take a few bytes more.
      { bar: 1, text: '1.0', holds: (value) => value.toFixed(1) === '1.0' },
    ],
  ]
}

function dpopFigures({ proofs, store }) {
  const what = 'DPoP: requests/s against express-oauth2-jwt-bearer, which does not refuse replays'
  return [
    [
      'dpop.peer',
      what,
      ratio(proofs, 'kickout-dpop', 'express-oauth2-jwt-bearer-dpop'),
      atLeast(1.2),
    ],
    [
      'dpop.full',
      'replay store in memory, full: share of claims that are 503',
      store.refused / store.claims,
      atLeast(1),
    ],
    ['dpop.memory', 'and growth of memory meanwhile, MB', store.growthMegabytes, atMost(1)],
  ]
}

function elsewhereFigures({ introspection, machines, logout }) {
  return [
    [
      'elsewhere.introspection',
      'opaque tokens reused: requests/s against the same guard with JWTs',
      ratio(introspection.perGuard, 'kickout-introspection', 'kickout'),
      atLeast(0.95),
    ],
    [
      'elsewhere.logout',
      'from a logout token sent to the last of three servers refusing, p99, ms',
      logout.p99,
      atMost(50),
    ],
    [
      'elsewhere.machines',
      'client_credentials grants/s against oidc-provider',
      ratio(machines, 'kickout', 'oidc-provider'),
      atLeast(2),
    ],
  ]
}

function latencyFigures({ inForce, resolved }) {
  return [
    [
      'latency.p50',
      'from kickOut called to the last of three servers refusing, p50, ms',
      inForce.p50,
      atMost(2),
    ],
    [
      'latency.p99',
      'from kickOut called to the last of three servers refusing, p99, ms',
      inForce.p99,
      atMost(15),
    ],
    [
      'latency.resolved.p50',
      'from kickOut called to resolved with all confirmed, calm, p50, ms',
      resolved.p50,
      atMost(3),
    ],
    [
      'latency.resolved.p99',
      'from kickOut called to resolved with all confirmed, calm, p99, ms',
      resolved.p99,
      atMost(10),
    ],
  ]
}

function checkFigures(sizes) {
  const most = sizes.at(-1)
  const live = most.entries.toLocaleString('en')
  return [
    ['check.time', `check() with ${live} live revocations, us`, most.checkMicros, atMost(1)],
    ['check.heap', `heap that ${live} live revocations take, MB`, most.heapMegabytes, atMost(90)],
  ]
}

const bootBars = { 100_000: 1.5, 1_000_000: 5 }

function bootFigures(sizes) {
  return sizes
    .filter(({ entries }) => bootBars[entries] !== undefined)
    .flatMap(({ entries, seconds, stallMs }) => {
      const live = `${entries.toLocaleString('en')} live revocations`
      return [
        [`boot.${entries}`, `boot to live with ${live}, s`, seconds, atMost(bootBars[entries])],
        [`boot.${entries}.stall`, `longest stall of that boot, ms`, stallMs, atMost(30)],
      ]
    })
}

function garbageFigures({ tokens, rssMegabytes, fetches, fetchesAllowed, valid }) {
  const flood = `${tokens.toLocaleString('en')} garbage tokens`
  return [
    ['garbage.memory', `${flood}: growth of memory, MB`, rssMegabytes, atMost(25)],
    [
      'garbage.fetches',
      `${flood}: key fetches, one per cool-down`,
      fetches,
      atMost(fetchesAllowed),
    ],
    ['garbage.valid', `${flood}: share of valid requests served`, valid.share, atLeast(1)],
  ]
}

function awayFigures({ p99 }) {
  const what = 'Redis away, 2,000 requests/s to three servers: p99 of the 503s, ms'
  return [['away.p99', what, p99, atMost(50)]]
}

const figuresOfScenario = {
  hot: hotFigures,
  cold: coldFigures,
  refresh: refreshFigures,
  dpop: dpopFigures,
  elsewhere: elsewhereFigures,
  latency: latencyFigures,
  away: awayFigures,
  check: checkFigures,
  boot: bootFigures,
  garbage: garbageFigures,
  size: () => [],
}

/** Every figure with what it has to reach, for the scenarios that were run. */
export function figuresOf(measured) {
  return Object.entries(measured).flatMap(([scenario, result]) =>
    figuresOfScenario[scenario](result).map(([id, what, value, target]) => ({
      id,
      what,
      toReach: target.text,
      reached: Number(value.toPrecision(3)),
      holds: target.holds(value),
    })),
  )
}
