import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { launch } from '../processes/launch.mjs'
import { startOwnStore } from '../processes/store.mjs'
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

const usual = { kickOutsPerSecond: 200, requestsPerSecond: 2000 }
/** So many kick-outs a second are watched from outside, by asking all servers until each has refused. */
const probedPerSecond = 5
const calmKickOuts = 200
/** So long the same goes on before it is measured: processes that have just started compile their code. */
const warmUpSeconds = 5

function momentsOf(samples) {
  return {
    samples: samples.length,
    p50: quantile(samples, 0.5),
    p99: quantile(samples, 0.99),
    max: Math.max(...samples),
  }
}

/** Everything on one machine: three resource servers, two issuers, one store, and the load. */
export async function startAll(kind) {
  const key = makeKey('ES256')
  const keys = await publishKeys([key])
  const store = await startOwnStore(kind)
  const secret = randomBytes(32).toString('base64url')
  const shared = { issuer, audience, scope, ...store.config }
  const guardConfig = { ...shared, jwksUri: keys.uri }
  const issuerConfig = { ...shared, privateJwk: key.privateJwk, secret }
  const background = writeTokens(await makeTokens(key, 200))
  const load = { tool: 'autocannon', tokensFile: background.file }
  const started = await Promise.all([
    ...[1, 2, 3].map(async () => launch('guards/serve.mjs', guardConfig)),
    ...[1, 2].map(async () => launch('issuers/serve.mjs', issuerConfig)),
    launch('load/generator.mjs', load),
    launch('load/probe.mjs', {}),
  ])
  const [generator, probe] = started.slice(5)
  return {
    key,
    store,
    servers: started.slice(0, 3),
    issuers: started.slice(3, 5),
    generator,
    probe,
    /** Of servers, issuers, generator and probe. */
    cpuMicros: () =>
      Promise.all(started.map(async (child) => (await child.ask('usage')).cpuMicros)),
    async stop() {
      await Promise.all(started.map(async (child) => child.stop()))
      await store.stop()
      keys.close()
      background.remove()
    },
  }
}

/** From `kickOut` called to the last of three resource servers refusing, under load. */
export async function latency(settings) {
  return latencyOn('redis', { ...usual, ...settings })
}

/** The same on a store, with other rates. */
export async function latencyOn(kind, { latencySeconds: seconds, log, ...rates }) {
  const { kickOutsPerSecond, requestsPerSecond } = rates
  const all = await startAll(kind)
  const { servers, generator } = all
  const ports = servers.map(({ port }) => port)
  try {
    const load = generator.ask('pressSteadily', {
      ...{ ports, perSecond: requestsPerSecond },
      seconds: seconds + warmUpSeconds + 2,
    })
    await sleep(1000)
    await kickOutSteadily(all, ports, 'warm-up', warmUpSeconds, kickOutsPerSecond)
    const before = await all.cpuMicros()
    const kickOuts = await kickOutSteadily(all, ports, 'user', seconds, kickOutsPerSecond)
    const after = await all.cpuMicros()
    const pressed = await load
    if (pressed.failures > 0) throw new Error(`other requests failed: ${pressed.failures}`)
    const applied = await Promise.all(servers.map(async (server) => server.ask('applied')))
    const inForce = kickOuts.map(
      ({ id, calledAt }) => Math.max(...applied.map((moments) => moments.get(id))) - calledAt,
    )
    const refused = kickOuts
      .filter(({ refusedAt }) => refusedAt !== undefined)
      .map(({ refusedAt, calledAt }) => refusedAt - calledAt)
    const served = pressed.requests
    const busy = after.map((micros, index) => Math.round((micros - before[index]) / seconds / 1e4))
    log(`${kickOuts.length} kick-outs, ${served} other requests; cores used, %: ${busy.join(' ')}`)
    return {
      kickOutsPerSecond: kickOuts.length / seconds,
      requestsPerSecond: served / (seconds + warmUpSeconds + 2),
      inForce: momentsOf(inForce),
      refused: momentsOf(refused),
      resolved: momentsOf(await confirmCalmly(all)),
    }
  } finally {
    await all.stop()
  }
}

/** How long `kickOut()` takes until all three servers have confirmed, one kick-out after the other and nothing else. */
async function confirmCalmly({ issuers: [server] }) {
  const samples = []
  for (let index = 0; index < calmKickOuts; index++) {
    const result = await server.ask('kickOut', { subject: `calm-${index}`, confirmTimeoutMs: 1000 })
    if (result.confirmed !== 3) throw new Error(`${result.confirmed} of 3 servers confirmed`)
    samples.push(result.elapsedMs)
  }
  return samples
}

async function kickOutSteadily({ key, issuers, probe }, ports, name, seconds, kickOutsPerSecond) {
  const total = seconds * kickOutsPerSecond
  const startedAt = performance.now()
  const running = []
  for (let index = 0; index < total; index++) {
    const dueInMs = startedAt + (index * 1000) / kickOutsPerSecond - performance.now()
    if (dueInMs > 1) await sleep(dueInMs)
    const server = issuers[index % issuers.length]
    const isProbed = index % Math.max(1, Math.round(kickOutsPerSecond / probedPerSecond)) === 0
    running.push(isProbed ? kickOutProbed(server, index) : kickOut(server, index))
  }
  return Promise.all(running)

  async function kickOut(server, index) {
    return server.ask('kickOut', { subject: `unknown-${name}-${index}`, confirmTimeoutMs: 0 })
  }

  async function kickOutProbed(server, index) {
    const claims = {
      ...claimsOf(0),
      sub: `kicked-${name}-${index}`,
      session_version: Date.now() - 1,
    }
    const token = await makeToken(key, claims)
    await probe.ask('assertAccepted', { ports, token })
    const refusal = probe.ask('lastRefusal', { ports, token })
    const result = await server.ask('kickOut', { subject: claims.sub, confirmTimeoutMs: 0 })
    return { ...result, refusedAt: await refusal }
  }
}
