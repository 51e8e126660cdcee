import { hasWrk } from '../machine.mjs'
import { launch } from '../processes/launch.mjs'
import { startOwnRedis } from '../processes/redis.mjs'
import { race } from '../load/race.mjs'
import {
  audience,
  issuer,
  makeKey,
  makeTokens,
  publishKeys,
  scope,
  writeTokens,
} from '../tokens.mjs'

/** Races guards against each other with `count` tokens in turn. */
export async function raceGuards({ names, algorithm, count, ...settings }) {
  const key = makeKey(algorithm)
  const tokens = writeTokens(await makeTokens(key, count))
  const keys = await publishKeys([key])
  const redis = await startOwnRedis()
  const tool = hasWrk ? 'wrk' : 'autocannon'
  const load = { tool, tokensFile: tokens.file }
  const generator = await launch('load/generator.mjs', load, { pin: 'load' })
  const config = {
    ...{ issuer, audience, scope, algorithm },
    ...{ jwksUri: keys.uri, publicPem: key.publicPem, redisPort: redis.port },
  }
  async function press(server, seconds) {
    const result = await generator.ask('press', {
      port: server.port,
      seconds,
      offset: server.used,
    })
    server.used += result.requests
    return result
  }
  try {
    return await race({
      ...settings,
      baseline: 'nothing',
      press,
      contenders: names.map((name) => ({
        name,
        file: 'guards/serve.mjs',
        config: { ...config, name },
      })),
      log: (what) => settings.log(`${algorithm}, ${count} tokens: ${what}`),
    })
  } finally {
    await generator.stop()
    await redis.stop()
    keys.close()
    tokens.remove()
  }
}
