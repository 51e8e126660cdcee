import { launch } from '../processes/launch.mjs'
import { startOwnRedis } from '../processes/redis.mjs'
import {
  audience,
  issuer,
  makeKey,
  makeTokens,
  publishKeys,
  scope,
  writeTokens,
} from '../tokens.mjs'

const cooldownSeconds = 30 // the default of requireAuth
const warmingTokens = 30_000
const validPerSecond = 200

/** A `kid` is unknown until the issuer was asked again: 503 within the cool-down, since the key may be the newest one. */
function assertAllRefused({ requests, statuses }) {
  const refused = (statuses['401']?.count ?? 0) + (statuses['503']?.count ?? 0)
  if (refused !== requests) throw new Error(`not all are refused: ${JSON.stringify(statuses)}`)
}

/** A flood of tokens with keys that do not exist, as fast as the server answers, while others go on with good ones. */
export async function garbage({ garbageTokens: amount, log }) {
  const key = makeKey('RS256')
  const keys = await publishKeys([key])
  const tokens = writeTokens(await makeTokens(key, 200))
  const redis = await startOwnRedis()
  const load = { tool: 'autocannon', tokensFile: tokens.file }
  const config = { name: 'kickout', issuer, audience, scope, jwksUri: keys.uri }
  const launched = await Promise.all([
    launch('load/generator.mjs', load, { pin: 'load' }),
    launch('load/generator.mjs', load, { pin: 'load' }),
    launch(
      'guards/serve.mjs',
      { ...config, redisPort: redis.port },
      { pin: 'server', nodeArgs: ['--expose-gc'] },
    ),
  ])
  const [attacker, customer, server] = launched
  const { port } = server
  try {
    await customer.ask('press', { port, seconds: 2 })
    assertAllRefused(await attacker.ask('flood', { port, amount: warmingTokens }))
    const before = await server.ask('memory')
    const fetchesBefore = keys.fetches
    const startedAt = performance.now()
    const ordinary = pressUntilTold(customer, port)
    const flood = await attacker.ask('flood', { port, amount })
    const seconds = (performance.now() - startedAt) / 1000
    const valid = await ordinary.stop()
    assertAllRefused(flood)
    const after = await server.ask('memory')
    log(`${amount} garbage tokens in ${seconds.toFixed(0)} s`)
    return {
      tokens: amount,
      seconds,
      perSecond: flood.requests / flood.seconds,
      rssMegabytes: (after.rss - before.rss) / 1e6,
      heapMegabytes: (after.heap - before.heap) / 1e6,
      fetches: keys.fetches - fetchesBefore,
      fetchesAllowed: Math.floor(seconds / cooldownSeconds) + 1,
      cooldownSeconds,
      valid,
    }
  } finally {
    await Promise.all(launched.map(async (child) => child.stop()))
    await redis.stop()
    keys.close()
    tokens.remove()
  }
}

/** Valid requests at a steady rate, second by second. */
function pressUntilTold(customer, port) {
  let told = false
  const total = { sent: 0, served: 0, p99: 0 }
  const running = (async () => {
    while (!told) {
      const result = await customer.ask('press', {
        port,
        seconds: 2,
        connections: 4,
        rate: validPerSecond,
      })
      total.sent += result.requests
      total.served += result.requests - result.failures
      total.p99 = Math.max(total.p99, result.p99)
    }
  })()
  return {
    async stop() {
      told = true
      await running
      return { ...total, share: total.served / total.sent }
    },
  }
}
