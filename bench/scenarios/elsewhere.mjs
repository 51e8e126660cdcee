import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { race } from '../load/race.mjs'
import { launch } from '../processes/launch.mjs'
import { listen } from '../processes/listen.mjs'
import { startOwnRedis } from '../processes/redis.mjs'
import { quantile } from '../statistics.mjs'
import {
  audience,
  claimsOf,
  issuer,
  makeKey,
  makeToken,
  makeTokens,
  publishKeys,
  scope,
  writeTokens,
} from '../tokens.mjs'

const reusedTokens = 200
const logoutsPerSecond = 50
const requestsPerSecond = 2000
const clientId = 'app'
const machine = { clientId: 'billing', secret: 'thirty-two-bytes-of-a-machine-and-more' }
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/** Opaque tokens, machines, and logouts at a provider. */
export async function elsewhere(settings) {
  return {
    introspection: await raceIntrospection(settings),
    machines: await raceMachines(settings),
    logout: await measureLogouts(settings),
  }
}

/** An endpoint that knows opaque tokens, and how often it was asked. */
async function publishOpaqueTokens(count) {
  const known = new Map()
  for (let index = 0; index < count; index++) known.set(randomUUID(), claimsOf(index))
  let asked = 0
  const server = createServer((req, res) => {
    asked++
    let body = ''
    req.on('data', (chunk) => (body += chunk))
    req.on('end', () => {
      const claims = known.get(new URLSearchParams(body).get('token'))
      const answer = claims ? { active: true, ...claims } : { active: false }
      res.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
    })
  })
  const port = await listen(server)
  return {
    tokens: [...known.keys()],
    endpoint: `http://127.0.0.1:${port}/introspect`,
    asked: () => asked,
    close: () => server.close().closeAllConnections(),
  }
}

/** 200 tokens reused: opaque ones against JWTs, both with kick-outs. */
async function raceIntrospection(settings) {
  const key = makeKey('RS256')
  const opaque = await publishOpaqueTokens(reusedTokens)
  const files = {
    kickout: writeTokens(await makeTokens(key, reusedTokens)),
    'kickout-introspection': writeTokens(opaque.tokens),
  }
  const keys = await publishKeys([key])
  const redis = await startOwnRedis()
  // One tool for both, whatever is installed: tokens of two lengths are written by the same code.
  const generators = {}
  for (const [name, { file }] of Object.entries(files)) {
    const load = { tool: 'autocannon', tokensFile: file }
    generators[name] = await launch('load/generator.mjs', load, { pin: 'load' })
  }
  const config = { issuer, audience, scope, jwksUri: keys.uri, redisPort: redis.port }
  try {
    const perGuard = await race({
      ...settings,
      baseline: 'kickout',
      contenders: Object.keys(files).map((name) => ({
        ...{ name, file: 'guards/serve.mjs' },
        config: { ...config, name, endpoint: opaque.endpoint },
      })),
      press: async ({ name, port }, seconds) => generators[name].ask('press', { port, seconds }),
      log: (what) => settings.log(`introspection: ${what}`),
    })
    return { perGuard, asked: opaque.asked() }
  } finally {
    for (const generator of Object.values(generators)) await generator.stop()
    for (const file of Object.values(files)) file.remove()
    await redis.stop()
    keys.close()
    opaque.close()
  }
}

/** Grants by client_credentials: a JWT of RFC 9068 each time. */
async function raceMachines(settings) {
  const { privateJwk } = makeKey('ES256')
  const redis = await startOwnRedis()
  const generator = await launch('load/generator.mjs', {}, { pin: 'load' })
  const config = { issuer, audience, scope, privateJwk, machine, redisPort: redis.port }
  try {
    await beginLog({ ...config, name: 'kickout' })
    return await race({
      ...settings,
      baseline: 'oidc-provider',
      contenders: ['kickout', 'oidc-provider'].map((name) => ({
        ...{ name, file: 'issuers/serve.mjs' },
        config: { ...config, name },
      })),
      press: async ({ port, path }, seconds) =>
        generator.ask('grant', { port, path, machine, scope, seconds }),
      log: (what) => settings.log(`machines: ${what}`),
    })
  } finally {
    await generator.stop()
    await redis.stop()
  }
}

/** Kicks out once. A log that is absent or new proves nothing for a second, and the answers would be 503. */
async function beginLog(config) {
  const server = await launch('issuers/serve.mjs', config)
  const { port, path } = server
  try {
    await server.ask('kickOut', { subject: 'unknown', confirmTimeoutMs: 0 })
    const deadline = performance.now() + 10_000
    for (;;) {
      if (performance.now() > deadline) throw new Error('a new log proves nothing after 10 s')
      const body = new URLSearchParams({
        ...{ grant_type: 'client_credentials', scope },
        ...{ client_id: machine.clientId, client_secret: machine.secret },
      })
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body })
      await answer.arrayBuffer()
      if (answer.ok) return
      await sleep(50)
    }
  } finally {
    await server.stop()
  }
}

function logoutClaims(index) {
  const iat = Math.floor(Date.now() / 1000)
  return {
    ...{ iss: issuer, aud: clientId, iat, exp: iat + 120, jti: randomUUID() },
    sub: `gone-${index}`,
    events: { [logoutEvent]: {} },
  }
}

/** From a logout token being sent to the last of three resource servers refusing, beside other requests. */
async function measureLogouts({ latencySeconds: seconds, log }) {
  const key = makeKey('ES256')
  const keys = await publishKeys([key])
  const redis = await startOwnRedis({ pinned: false })
  const background = writeTokens(await makeTokens(key, reusedTokens))
  const shared = { issuer, jwksUri: keys.uri, redisPort: redis.port }
  const guard = { ...shared, name: 'kickout', audience, scope }
  const load = { tool: 'autocannon', tokensFile: background.file }
  const started = await Promise.all([
    ...[1, 2, 3].map(async () => launch('guards/serve.mjs', guard)),
    launch('signals/serve.mjs', { ...shared, clientId }),
    launch('load/generator.mjs', load),
  ])
  const [receiver, generator] = started.slice(3)
  const servers = started.slice(0, 3)
  try {
    const ports = servers.map(({ port }) => port)
    const job = { ports, perSecond: requestsPerSecond, seconds: seconds + 2 }
    const pressing = generator.ask('pressSteadily', job)
    await sleep(1000)
    const sent = await sendSteadily(key, receiver.port, seconds)
    const pressed = await pressing
    if (pressed.failures > 0) throw new Error(`other requests failed: ${pressed.failures}`)
    const applied = await Promise.all(servers.map(async (server) => server.ask('appliedTo')))
    const samples = sent.map(
      ({ subject, sentAt }) => Math.max(...applied.map((moments) => moments.get(subject))) - sentAt,
    )
    log(`${samples.length} logouts, ${pressed.requests} other requests`)
    return {
      logoutsPerSecond,
      requestsPerSecond: pressed.requests / (seconds + 2),
      samples: samples.length,
      p50: quantile(samples, 0.5),
      p99: quantile(samples, 0.99),
      max: Math.max(...samples),
    }
  } finally {
    await Promise.all(started.map(async (child) => child.stop()))
    await redis.stop()
    keys.close()
    background.remove()
  }
}

async function sendSteadily(key, port, seconds) {
  const startedAt = performance.now()
  const running = []
  for (let index = 0; index < seconds * logoutsPerSecond; index++) {
    const dueInMs = startedAt + (index * 1000) / logoutsPerSecond - performance.now()
    if (dueInMs > 1) await sleep(dueInMs)
    running.push(sendLogout(key, port, index))
  }
  return Promise.all(running)
}

async function sendLogout(key, port, index) {
  const claims = logoutClaims(index)
  const body = new URLSearchParams({ logout_token: await makeToken(key, claims, 'logout+jwt') })
  const sentAt = Number(process.hrtime.bigint()) / 1e6
  const answer = await fetch(`http://127.0.0.1:${port}/logout`, { method: 'POST', body })
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
  return { subject: claims.sub, sentAt }
}
