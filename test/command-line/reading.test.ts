import { describe, expect, test } from '@jest/globals'
import { redisRevocations, redisStore } from '../../src/redis/index.ts'
import { startCluster } from '../support/redis-cluster.ts'
import { waitUntil } from '../support/wait.ts'
import { runCommand } from './support/built-command.ts'
import { issuerName, useStage } from './support/stage.ts'

const stage = useStage()
const otherIssuer = 'https://login.example.org'

describe.each([{ partitions: 1 }, { partitions: 16 }])(
  'with $partitions partition(s)',
  (layout) => {
    async function start() {
      const { url } = await stage.redis()
      const api = stage.closing(redisRevocations(url, { ...layout, issuer: issuerName }))
      await api.ready()
      const run = async (...args: string[]) => runCommand(args, { env: { KICKOUT_REDIS_URL: url } })
      return { url, api, run }
    }

    test('kick-outs lists pages and filters', async () => {
      const { api, run } = await start()
      for (const subject of ['u1', 'u2', 'u3'])
        await api.kickOut({ subject }, { by: 'alice', reason: 'theft' })
      await api.kickOut({ issuer: otherIssuer, client: 'c1' })
      const all = (await run('kick-outs', '--json')).json<{ kick_outs: object[]; next: null }>()
      expect(all.kick_outs).toHaveLength(4)
      expect(all.next).toBeNull()
      expect(all.kick_outs[0]).toEqual({
        id: expect.any(String),
        at: expect.any(Number),
        by: null,
        issuer: otherIssuer,
        level: 'client',
        target: 'c1',
        reason: null,
      })
      type Page = { kick_outs: { target: string }[]; next: string }
      const first = (await run('kick-outs', '--limit', '2', '--by', '*', '--json')).json<Page>()
      expect(first.kick_outs.map(({ target }) => target)).toEqual(['u3', 'u2'])
      const flags = ['--limit', '2', '--by', 'alice', '--before', first.next, '--json']
      const second = (await run('kick-outs', ...flags)).json<Page>()
      expect(second.kick_outs.map(({ target }) => target)).toEqual(['u1'])
      const one = (await run('kick-outs', '--level', 'subject', '--target', 'u2')).stdout
      expect(one).toMatch(/^AT +LEVEL +TARGET +ISSUER +BY +REASON +ID\n/)
      expect(one).toMatch(
        /Z {2}subject {2}u2 {6}https:\/\/login\.example\.com {2}alice {2}theft {3}\S+\n$/,
      )
      const ofIssuer = await run('kick-outs', '--issuer', otherIssuer, '--json')
      expect(ofIssuer.json<Page>().kick_outs).toHaveLength(1)
      expect(await run('kick-outs', '--before', 'nobody')).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining('"before" names no kick-out'),
      })
      for (const flag of [
        ['--limit', '0'],
        ['--limit', '1001'],
        ['--level', 'user'],
      ])
        expect((await run('kick-outs', ...flag)).exitCode).toBe(2)
    })

    test('sessions lists those of a user, of every issuer or of one', async () => {
      const { url, run } = await start()
      const issuer = await stage.redisIssuer(url, layout)
      const device = { name: 'phone\u001b[2J', ip: '10.0.0.1' }
      const { session_id: id } = await issuer.startSession({ subject: 'u1', scope: 'a b', device })
      await issuer.startSession({ subject: 'u2' })
      const named = await run('sessions', '--subject', 'u1', '--issuer', issuerName, '--json')
      const expected = {
        sessions: [
          {
            session_id: id,
            issuer: issuerName,
            subject: 'u1',
            client_id: 'first-party',
            scope: 'a b',
            device,
            started_at: expect.any(Number),
            last_seen_at: expect.any(Number),
            expires_at: expect.any(Number),
          },
        ],
      }
      expect(named.json()).toEqual(expected)
      expect((await run('sessions', '--subject', 'u1', '--json')).json()).toEqual(expected)
      const { stdout } = await run('sessions', '--subject', 'u1')
      // What a device calls itself must not rule the terminal.
      expect(stdout).toContain('phone\\u001b[2J')
      expect(stdout).not.toContain('\u001b')
      const foreign = await run('sessions', '--subject', 'u1', '--issuer', otherIssuer)
      expect(foreign).toMatchObject({ exitCode: 0, stdout: 'no live session\n' })
      expect((await run('sessions')).exitCode).toBe(2)
    })

    test('servers and status tell the live from the silent', async () => {
      const { url, api, run } = await start()
      await api.kickOut({ subject: 'u1' })
      const second = await stage.server('redis', url, { ...layout, maxStalenessMs: 1000 })
      type Servers = {
        servers: { server_id: string; state: string }[]
        silent: { server_id: string }[]
      }
      const both = (await run('servers', '--json')).json<Servers>()
      expect(both.servers).toHaveLength(2)
      expect(both.servers.map(({ state }) => state)).toEqual(['live', 'live'])
      expect(both.silent).toEqual([])
      second.signal('SIGSTOP')
      await waitUntil(
        async () => (await run('servers', '--json')).json<Servers>().silent.length === 1,
        { what: 'the second server to be silent', timeoutMs: 15_000 },
      )
      const { stdout } = await run('servers')
      expect(stdout).toMatch(/^SERVER +STATE +STALENESS +APPLIED +HEARD\n/)
      expect(stdout).toMatch(new RegExp(`${second.serverId} +silent `))
      const status = await run('status', '--json')
      expect(status.json()).toEqual({
        store: 'redis',
        place: expect.stringMatching(/^Redis at 127\.0\.0\.1:\d+, database 0, prefix kickout$/),
        opened: true,
        epoch: expect.any(String),
        created_at: expect.any(Number),
        partitions: layout.partitions,
        retention_seconds: 90_000,
        kick_outs: { kept: 1, last_at: expect.any(Number) },
        servers: { live: 1, stale: 0, silent: 1, max_staleness_ms: expect.any(Number) },
      })
      expect((await run('status')).stdout).toContain('1 live (0 of them not fresh), 1 silent')
    })
  },
)

test('what is read changes nothing: neither the log nor how long kick-outs are kept', async () => {
  const redis = await stage.redis()
  const writer = stage.closing(
    redisRevocations(redis.url, { issuer: issuerName, retentionSeconds: 3600, partitions: 3 }),
  )
  await writer.kickOut({ subject: 'u1' })
  await writer.close()
  const admin = redis.client()
  const snapshot = async () =>
    Promise.all(
      (await admin.keys('*'))
        .sort()
        .map(async (key) => (await admin.dumpBuffer(key)).toString('hex')),
    )
  const before = await snapshot()
  const commands = [
    ['status'],
    ['servers'],
    ['kick-outs'],
    ['sessions', '--subject', 'u1'],
    ['doctor'],
  ]
  for (const command of commands) {
    const ran = await runCommand(command, { env: { KICKOUT_REDIS_URL: redis.url } })
    expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
  }
  expect(await snapshot()).toEqual(before)
})

test('a Cluster is recognised by one of its nodes', async () => {
  const cluster = stage.closing(await startCluster())
  const { url = '' } = cluster.nodes[0] ?? {}
  const template = cluster.client({ lazyConnect: true })
  const api = stage.closing(redisRevocations(template, { partitions: 16, issuer: issuerName }))
  await api.ready()
  const args = ['kick-out', '--issuer', issuerName, '--subject', 'u1', '--redis', url, '--json']
  expect((await runCommand(args)).json()).toMatchObject({ servers: 1, confirmed: 1 })
  const status = (await runCommand(['status', '--redis', url, '--json'])).json()
  expect(status).toMatchObject({ partitions: 16, kick_outs: { kept: 1 } })
  const issuer = await stage.issuer(redisStore(template, { partitions: 16 }))
  await issuer.startSession({ subject: 'u1' })
  const sessions = await runCommand(['sessions', '--subject', 'u1', '--redis', url, '--json'])
  expect(sessions.json<{ sessions: object[] }>().sessions).toHaveLength(1)
  const doctor = await runCommand(['doctor', '--redis', url])
  expect(doctor).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('16 partitions') })
})
