import { launch } from '../processes/launch.mjs'
import { startOwnRedis } from '../processes/redis.mjs'
import { race } from '../load/race.mjs'
import { audience, issuer, makeKey, scope } from '../tokens.mjs'

const names = ['floor', 'kickout', 'oidc-provider']
const connections = 32
const weighedSessions = 10

let subjects = 0
const newSubjects = (count) => Array.from({ length: count }, () => `user-${subjects++}`)

/** Refresh grants per second, and what a session weighs in Redis after one refresh and after many. */
export async function refresh(settings) {
  const { privateJwk } = makeKey('ES256')
  const config = { issuer, audience, scope, privateJwk }
  const generator = await launch('load/generator.mjs', {}, { pin: 'load' })
  try {
    const perSecond = await raceIssuers(config, generator, settings)
    const bytes = {}
    for (const name of names.slice(1)) {
      bytes[name] = await weighSessions({ ...config, name }, generator, settings)
      settings.log(`bytes per session of ${name}`)
    }
    return { perSecond, bytes, rotations: settings.rotations }
  } finally {
    await generator.stop()
  }
}

async function raceIssuers(config, generator, settings) {
  const redis = await startOwnRedis()
  const file = 'issuers/serve.mjs'
  try {
    return await race({
      ...settings,
      baseline: 'floor',
      contenders: names.map((name) => ({
        ...{ name, file },
        config: { ...config, name, redisPort: redis.port },
      })),
      async press({ port, path, form, ask }, seconds) {
        // New ones each time: the answers that the end of a measurement cuts off are lost.
        const refreshTokens = await ask('startSessions', newSubjects(connections))
        return generator.ask('refresh', { port, path, form, refreshTokens, seconds })
      },
    })
  } finally {
    await redis.stop()
  }
}

async function bytesInUse(client) {
  let bytes = 0
  for (const key of await client.keys('*')) {
    bytes += (await client.memory('USAGE', key, 'SAMPLES', 0)) ?? 0
  }
  return bytes
}

async function weighSessions(config, generator, { rotations }) {
  const redis = await startOwnRedis()
  const client = redis.client()
  const server = await launch('issuers/serve.mjs', { ...config, redisPort: redis.port })
  const { port, path, form } = server
  try {
    // What there is anyway, such as a log, is no part of a session.
    const [warming] = await server.ask('startSessions', newSubjects(1))
    await generator.ask('refreshEach', { port, path, form, refreshTokens: [warming], times: 1 })
    const before = await bytesInUse(client)
    const refreshTokens = await server.ask('startSessions', newSubjects(weighedSessions))
    const first = await generator.ask('refreshEach', { port, path, form, refreshTokens, times: 1 })
    const afterOne = await bytesInUse(client)
    const rest = { refreshTokens: first, times: rotations - 1 }
    await generator.ask('refreshEach', { port, path, form, ...rest })
    const afterMany = await bytesInUse(client)
    const perSession = (bytes) => Math.round((bytes - before) / weighedSessions)
    return { afterOne: perSession(afterOne), afterMany: perSession(afterMany) }
  } finally {
    await server.stop()
    await redis.stop()
  }
}
