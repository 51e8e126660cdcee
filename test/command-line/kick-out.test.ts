import { describe, expect, test } from '@jest/globals'
import { redisRevocations } from '../../src/redis/index.ts'
import { runCommand } from './support/built-command.ts'
import { issuerName, useStage } from './support/stage.ts'

const stage = useStage()
const claims = { iss: issuerName, aud: 'api', exp: 4e9, iat: 1 }
const uuid = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/

describe('kick-out on Redis', () => {
  const levels = [
    { flags: ['--subject', 'u1'], claims: { sub: 'u1' }, told: 'subject u1' },
    { flags: ['--session', 's1'], claims: { sid: 's1' }, told: 'session s1' },
    { flags: ['--jti', 'j1'], claims: { jti: 'j1' }, told: 'token j1' },
    { flags: ['--client', 'c1'], claims: { client_id: 'c1' }, told: 'client c1' },
    { flags: ['--everyone', '--yes'], claims: {}, told: 'everyone' },
  ]
  test('is in force on a server at every level, and confirmed', async () => {
    const { url } = await stage.redis()
    const api = stage.closing(redisRevocations(url, { issuer: issuerName }))
    await api.ready()
    for (const level of levels) {
      expect(api.check({ ...claims, ...level.claims })).toEqual({ revoked: false })
      const ran = await runCommand(['kick-out', '--issuer', issuerName, ...level.flags], {
        env: { KICKOUT_REDIS_URL: url },
      })
      expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
      expect(ran.stdout).toMatch(/^confirmed by \S+ after \d+ ms\n/)
      expect(ran.stdout).toContain(`kicked out ${level.told} of ${issuerName}\n`)
      expect(ran.stdout).toContain('in force on 1 of 1 server after ')
      expect(api.check({ ...claims, ...level.claims })).toMatchObject({ revoked: true })
    }
  })

  test('ends the sessions of a user of 16 partitions, whose number it finds out', async () => {
    const { url } = await stage.redis()
    const options = { partitions: 16, prefix: 'app', retentionSeconds: 7200 }
    const issuer = await stage.redisIssuer(url, options)
    const api = stage.closing(redisRevocations(url, { ...options, issuer: issuerName }))
    await api.ready()
    await issuer.startSession({ subject: 'u1' })
    await issuer.startSession({ subject: 'u1' })
    const flags = ['--issuer', issuerName, '--subject', 'u1', '--reason', 'left', '--by', 'alice']
    const args = ['kick-out', ...flags, '--prefix', 'app', '--redis', url, '--json']
    const ran = await runCommand(args)
    expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
    expect(ran.json()).toEqual({
      id: expect.stringMatching(uuid),
      at: expect.any(Number),
      sessions_ended: 2,
      servers: 1,
      confirmed: 1,
      unconfirmed: [],
      elapsed_ms: expect.any(Number),
    })
    expect(await issuer.listSessions('u1')).toEqual([])
    const { kickOuts } = await api.listKickOuts({ limit: 1 })
    expect(kickOuts).toMatchObject([{ by: 'alice', reason: 'left', target: 'u1' }])
    expect(api.retentionSeconds).toBe(7200)
  })

  test('finds out the partitions of servers that wait for a log that was never opened', async () => {
    const { url } = await stage.redis()
    const api = stage.closing(redisRevocations(url, { partitions: 4, issuer: issuerName }))
    await api.ready()
    const args = ['kick-out', '--issuer', issuerName, '--subject', 'u1', '--redis', url, '--json']
    expect((await runCommand(args)).json()).toMatchObject({ servers: 1, confirmed: 1 })
    expect(api.check({ ...claims, sub: 'u1' })).toMatchObject({ revoked: true })
  })

  test('prints a line per server as it confirms, and lists those that did not', async () => {
    const { url } = await stage.redis()
    const [first, second, third] = [
      await stage.server('redis', url, { maxStalenessMs: 60_000 }),
      await stage.server('redis', url, { maxStalenessMs: 60_000 }),
      await stage.server('redis', url, { maxStalenessMs: 60_000 }),
    ]
    second.signal('SIGSTOP')
    third.signal('SIGSTOP')
    let printed = ''
    let wasAwake = false
    const args = ['kick-out', '--issuer', issuerName, '--subject', 'u1', '--timeout', '4']
    const ran = await runCommand(args, {
      env: { KICKOUT_REDIS_URL: url },
      onOutput(text) {
        printed += text
        // One of the two wakes up while the command waits.
        if (!wasAwake && printed.includes('waiting for 2 servers')) {
          wasAwake = true
          second.signal('SIGCONT')
        }
      },
    })
    expect(ran.exitCode).toBe(1)
    expect(printed.indexOf(`confirmed by ${first.serverId}`)).toBeGreaterThan(-1)
    expect(printed.indexOf('waiting for 2 servers')).toBeGreaterThan(
      printed.indexOf(`confirmed by ${first.serverId}`),
    )
    expect(printed.indexOf(`confirmed by ${second.serverId}`)).toBeGreaterThan(
      printed.indexOf('waiting for 2 servers'),
    )
    expect(ran.stderr).toMatch(/^waiting for 2 servers, 1\.\d s of 4\.0 s: \S+, \S+\n/)
    expect(ran.stdout).toContain('in force on 2 of 3 servers')
    expect(ran.stdout).toContain(`not confirmed by ${third.serverId}`)
    expect(ran.stdout).not.toContain(`confirmed by ${third.serverId} after`)
  })

  test('with --json says the same in one value', async () => {
    const { url } = await stage.redis()
    const server = await stage.server('redis', url, { maxStalenessMs: 60_000 })
    server.signal('SIGSTOP')
    const flags = ['--issuer', issuerName, '--subject', 'u1', '--timeout', '1200ms', '--json']
    const ran = await runCommand(['kick-out', ...flags], { env: { KICKOUT_REDIS_URL: url } })
    expect(ran).toMatchObject({ exitCode: 1, stderr: '' })
    expect(ran.json()).toMatchObject({ servers: 1, confirmed: 0, unconfirmed: [server.serverId] })
  })

  test('warns where no server follows', async () => {
    const { url } = await stage.redis()
    const args = ['kick-out', '--issuer', issuerName, '--subject', 'u1', '--redis', url]
    const first = await runCommand(args)
    expect(first.exitCode).toBe(0)
    expect(first.stderr).toMatch(/nothing was ever stored here .*--prefix/)
    const second = await runCommand(args)
    expect(second.stderr).toMatch(/no server follows this log/)
  })
})

describe('kick-out is refused', () => {
  test.each([
    [[], /exactly one of --subject/],
    [['--subject', 'a', '--client', 'b'], /exactly one of --subject/],
    [['--subject', ''], /--subject needs a value/],
    [['--subject', ' '], /--subject must not be blank/],
    [['--subject', '*'], /--subject knows no wildcard/],
    [['--subject', '--yes'], /--subject needs a value/],
    [['--subject', 'a', '--subject', 'b'], /--subject is given twice/],
    [['--subject', 'x'.repeat(256)], /--subject must be at most 255/],
    [['--everyone'], /add --yes/],
    [['--subject', 'a', '--timeout', 'soon'], /--timeout must be a number of seconds/],
    [['--subject', 'a', '--timeout', '2000'], /milliseconds are written with their unit/],
    [['--subject', 'a', '--partitions', '0'], /--partitions must be a whole number, 1 to 65535/],
    [['--subject', 'a', '--schema', 'x'], /--schema is not for Redis/],
    [['--subject', 'a', '--limit', '5'], /unknown option --limit/],
    [['--sbject', 'a'], /unknown option --sbject, did you mean --subject/],
    [['--yes=no', '--everyone'], /--yes takes no value/],
  ])('as wrong usage: %j', async (flags, message) => {
    const args = ['kick-out', '--issuer', issuerName, ...flags]
    const ran = await runCommand(args, { env: { KICKOUT_REDIS_URL: 'redis://127.0.0.1:1' } })
    expect(ran).toMatchObject({ exitCode: 2, stdout: '', stderr: expect.stringMatching(message) })
  })

  test('without an issuer, and without a store', async () => {
    expect(await runCommand(['kick-out', '--subject', 'a'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--issuer is missing'),
    })
    expect(await runCommand(['kick-out', '--subject', 'a', '--issuer', 'i'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('KICKOUT_REDIS_URL'),
    })
  })

  test('by Redis, for a user without the right', async () => {
    const redis = await stage.redis()
    const admin = redis.client()
    const args = ['kick-out', '--issuer', issuerName, '--subject', 'u1', '--json']
    await admin.call(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>pw',
      '~*',
      '-@all',
      '+info',
      '+hmget',
      '+hget',
      '+hlen',
      '+xlen',
    )
    const reader = redis.url.replace('//', '//reader:pw@')
    const forbidden = await runCommand(args, { env: { KICKOUT_REDIS_URL: reader } })
    expect(forbidden.exitCode).toBe(1)
    expect(forbidden.json()).toMatchObject({
      error: expect.stringMatching(/refuses: .*NOPERM/),
      exit_code: 1,
    })
  })

  test('by a replica, and where nothing answers', async () => {
    const redis = await stage.redis()
    const replica = await stage.redis('--replicaof', `127.0.0.1 ${redis.port}`)
    const args = ['kick-out', '--issuer', issuerName, '--subject', 'u1']
    const env = { KICKOUT_REDIS_URL: replica.url }
    expect(await runCommand(args, { env })).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('READONLY'),
    })
    redis.pause()
    const paused = { KICKOUT_REDIS_URL: redis.url }
    expect(await runCommand(args, { env: paused })).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(/Redis at 127\.0\.0\.1:\d+, database 0 cannot be reached/),
    })
    const nobody = { KICKOUT_REDIS_URL: 'redis://127.0.0.1:1' }
    expect(await runCommand(args, { env: nobody })).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining('ECONNREFUSED'),
    })
  })
})
