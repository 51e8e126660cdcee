import { launch } from '../processes/launch.mjs'
import { startOwnRedis } from '../processes/redis.mjs'
import { audience, issuer, makeKey, scope } from '../tokens.mjs'

async function datasetBytes(redis) {
  const client = redis.client()
  const [, bytes] = /used_memory_dataset:(\d+)/.exec(await client.info('memory'))
  client.disconnect()
  return Number(bytes)
}

/** Fills one Redis more and more, and at each size starts a replica that `measure` looks at. */
export async function withLiveRevocations({ liveRevocations, log }, measure) {
  const redis = await startOwnRedis()
  const { privateJwk } = makeKey('ES256')
  const config = { name: 'kickout', issuer, audience, scope, privateJwk, redisPort: redis.port }
  const filler = await launch('issuers/serve.mjs', config)
  const results = []
  try {
    let filled = 0
    for (const entries of liveRevocations) {
      await filler.ask('kickOutAll', { from: filled, count: entries - filled })
      filled = entries
      log(`${entries} live revocations in Redis`)
      const replica = await launch('replica.mjs', config, {
        pin: 'server',
        nodeArgs: ['--expose-gc'],
      })
      if (replica.entries !== entries) throw new Error(`the replica has ${replica.entries}`)
      results.push(await measure(replica, entries, (await datasetBytes(redis)) / entries))
      await replica.stop()
    }
    return results
  } finally {
    await filler.stop()
    await redis.stop()
  }
}
