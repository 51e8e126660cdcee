import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'
import { type Servers, startServers } from '../../example-app/servers.ts'
import { usePostgres } from './support/deployment.ts'

const postgres = usePostgres()
const root = fileURLToPath(new URL('../..', import.meta.url))

test('the tour is the same on PostgreSQL, with two API servers', async () => {
  const { REDIS_URL: _redis, EXAMPLE_TOUR_REDIS: _own, ...env } = process.env
  const tsx = fileURLToPath(import.meta.resolve('tsx/cli'))
  const { stdout } = await promisify(execFile)(process.execPath, [tsx, 'example-app/tour.ts'], {
    cwd: root,
    env: { ...env, DATABASE_URL: postgres.server.url },
    timeout: 80_000,
  })
  expect(stdout).toContain('One login service and 2 API servers, on PostgreSQL')
  expect(stdout).toContain('All as it should be.')
  expect(stdout.match(/^✓ /gm)).toHaveLength(17)
}, 90_000)

test('the example keeps sessions over a restart of its servers, in the database alone', async () => {
  const start = async (): Promise<Servers> =>
    startServers({ loginPort: 0, databaseUrl: postgres.server.url, apiPorts: [0, 0] })
  const first = await start()
  await first.issuer.startSession({ subject: 'ben', scope: 'notes:read' })
  const { servers, confirmed } = await first.issuer.kickOut({ subject: 'ada' })
  expect(confirmed).toBe(servers)
  expect(servers).toBeGreaterThanOrEqual(2)
  await first.close()
  const rows = await postgres.server.ask('SELECT subject FROM kickout_demo.sessions')
  expect(rows).toContainEqual({ subject: 'ben' })
  const second = await start()
  await second.close()
}, 60_000)
