/**
 * `npm run example:tour`: the life of a session over real HTTP, each step checked and timed. Ends 1 when one went wrong.
 *
 * In memory, on Redis with `REDIS_URL`, or on PostgreSQL with `DATABASE_URL`; `EXAMPLE_TOUR_REDIS=1` starts a redis-server of its own, and stops it midway.
 */
import { startServers } from './servers.ts'
import { headline } from './tour/narrator.ts'
import { tellOutage } from './tour/outage.ts'
import { tellProvider } from './tour/provider.ts'
import { RedisServer } from './tour/redis-server.ts'
import { tellStory } from './tour/story.ts'
import { tellTheft } from './tour/theft.ts'

const ownRedis = process.env.EXAMPLE_TOUR_REDIS === '1' ? await RedisServer.start() : undefined
const redisUrl = ownRedis?.url ?? process.env.REDIS_URL
const databaseUrl = ownRedis ? undefined : process.env.DATABASE_URL
const store =
  databaseUrl !== undefined ? 'on PostgreSQL' : redisUrl !== undefined ? 'on Redis' : undefined
const servers = await startServers({
  loginPort: 0,
  apiPorts: store === undefined ? [0] : [0, 0],
  redisUrl,
  databaseUrl,
  providerPort: 0,
  cookie: false, // the tour is no browser: it holds its refresh tokens itself, so that they can be shown
  maxStalenessMs: 2000,
})

try {
  const count = servers.apiUrls.length
  headline(
    `One login service and ${count} API ${count === 1 ? 'server' : 'servers'}, ` +
      (store ?? 'in memory'),
  )
  await tellStory(servers)
  await tellTheft(servers)
  await tellProvider(servers)
  if (ownRedis) await tellOutage(servers, ownRedis)
  headline('All as it should be.')
} catch (error) {
  console.error(
    `\nThe tour went wrong: ${error instanceof Error ? error.message : String(error)}\n`,
  )
  process.exitCode = 1
} finally {
  await servers.close()
  await ownRedis?.remove()
}
