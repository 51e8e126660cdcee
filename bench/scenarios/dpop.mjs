import { dpopGuards } from '../guards/index.mjs'
import { launch } from '../processes/launch.mjs'
import { startOwnRedis } from '../processes/redis.mjs'
import { race } from '../load/race.mjs'
import {
  audience,
  claimsOf,
  issuer,
  makeKey,
  makeToken,
  publishKeys,
  scope,
  thumbprintOf,
} from '../tokens.mjs'

const connections = 32
const publicUrl = 'http://127.0.0.1'
const storeEntries = 100_000
const extraClaims = 200_000

/** A known token and a new proof (ES256) with each request; and a replay store in memory that is flooded. */
export async function dpop(settings) {
  const proofs = await raceProofs(settings)
  const store = await floodStore()
  settings.log('replay store')
  return { proofs, store }
}

async function makeHolders(key) {
  const indexes = Array.from({ length: connections }, (_, index) => index)
  return Promise.all(
    indexes.map(async (index) => {
      const { privateJwk, publicJwk } = makeKey('ES256')
      const { kty, crv, x, y } = publicJwk
      const cnf = { jkt: thumbprintOf({ kty, crv, x, y }) }
      const token = await makeToken(key, { ...claimsOf(index), cnf })
      return { token, privateJwk, publicJwk: { kty, crv, x, y } }
    }),
  )
}

async function raceProofs(settings) {
  const key = makeKey('RS256')
  const holders = await makeHolders(key)
  const keys = await publishKeys([key])
  const redis = await startOwnRedis()
  const generator = await launch('load/generator.mjs', {}, { pin: 'load' })
  const config = { issuer, audience, scope, jwksUri: keys.uri, redisPort: redis.port, publicUrl }
  try {
    return await race({
      ...settings,
      baseline: 'express-oauth2-jwt-bearer-dpop',
      contenders: dpopGuards.map((name) => ({
        name,
        file: 'guards/serve.mjs',
        config: { ...config, name },
      })),
      async press({ name, port }, seconds) {
        const root = name === 'kickout-dpop' ? publicUrl : `http://127.0.0.1:${port}`
        return generator.ask('pressWithProofs', { port, seconds, holders, htu: `${root}/reports` })
      },
    })
  } finally {
    await generator.stop()
    await redis.stop()
    keys.close()
  }
}

async function floodStore() {
  const child = await launch('load/replay-store.mjs', {}, { nodeArgs: ['--expose-gc'] })
  try {
    const full = await child.ask('flood', { claims: storeEntries })
    const flooded = await child.ask('flood', { claims: extraClaims })
    return {
      entries: full.claimed,
      claims: extraClaims,
      refused: flooded.refused,
      growthMegabytes: (flooded.memory.heap - full.memory.heap) / 1e6,
    }
  } finally {
    await child.stop()
  }
}
