import { expect, test } from '@jest/globals'
import { runCommand } from './support/built-command.ts'
import { faults, scenes } from './support/scenarios.ts'
import { useStage } from './support/stage.ts'

const stage = useStage()

interface Examined {
  checks: {
    check: string
    status: 'ok' | 'warn' | 'fail'
    message: string
    remedy: string | null
  }[]
  ok: number
  warn: number
  fail: number
}

test('a deployment without a fault: every line is ok', async () => {
  const { env } = await scenes.sound(stage)
  const ran = await runCommand(['doctor', '--json'], { env })
  const { checks, ...counts } = ran.json<Examined>()
  expect(checks.filter(({ status }) => status !== 'ok')).toEqual([])
  expect(new Set(checks.map(({ check }) => check))).toEqual(
    new Set([
      ...['store', 'version', 'eviction', 'persistence', 'replicas', 'rights', 'clocks'],
      ...['log', 'partitions', 'servers', 'issuer', 'keys'],
    ]),
  )
  expect(counts).toEqual({ ok: checks.length, warn: 0, fail: 0 })
  expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
})

interface Expected {
  check: string
  status: 'warn' | 'fail'
  message: RegExp
  remedy: RegExp
  flags?: string[]
  exitCode?: number
}

const expected: Record<keyof typeof faults, Expected> = {
  evicting: {
    check: 'eviction',
    status: 'fail',
    message: /maxmemory-policy is allkeys-lru/,
    remedy: /CONFIG SET maxmemory-policy noeviction/,
  },
  'no-persistence': {
    check: 'persistence',
    status: 'warn',
    message: /no persistence/,
    remedy: /CONFIG SET appendonly yes/,
  },
  'open-to-anyone': {
    check: 'rights',
    status: 'warn',
    message: /user default needs no password/,
    remedy: /ACL SETUSER default off/,
  },
  replica: {
    check: 'role',
    status: 'fail',
    message: /is a replica of 127\.0\.0\.1:\d+/,
    remedy: /connect to the primary \(127\.0\.0\.1:\d+\)/,
  },
  'wrong-rights': {
    check: 'rights',
    status: 'fail',
    message: /user kickout-api may not send .*XREAD on stream, HSET on servers, HDEL on servers/,
    remedy: /docs\/redis\.md names under "Users"/,
  },
  'reading-user': {
    check: 'rights',
    status: 'warn',
    message: /neither kick out nor hold sessions: it may not send WAIT, HSET on meta/,
    remedy: /use the user of issuers/,
  },
  'skewed-clock': {
    check: 'clocks',
    status: 'fail',
    message: /the clock of Redis is 90\.\d s ahead of this machine's/,
    remedy: /NTP/,
  },
  'other-partitions': {
    check: 'partitions',
    status: 'fail',
    message: /--partitions says 4, and Redis holds a log of 16/,
    remedy: /set "partitions" to 16/,
    flags: ['--prefix', 'shop', '--partitions', '4'],
  },
  'silent-server': {
    check: 'servers',
    status: 'warn',
    message: /has been silent for \d+\.\d s/,
    remedy: /look at its log/,
  },
  'trimmed-log': {
    check: 'log',
    status: 'fail',
    message: /kick-outs are missing in partition 0/,
    remedy: /kick out again/,
  },
  'weak-key': {
    check: 'keys',
    status: 'fail',
    message:
      /key 2019-rsa \(RS256 1024 bits\) is left out by guards: its modulus has less than 2048/,
    remedy: /RSA of 2048 bits or more/,
  },
  'other-issuer': {
    check: 'issuer',
    status: 'fail',
    message: /names another issuer/,
    remedy: /slashes included/,
  },
  unreachable: {
    check: 'store',
    status: 'fail',
    message: /cannot be reached: connect ECONNREFUSED/,
    remedy: /look at the address/,
    exitCode: 3,
  },
}

test.each(Object.keys(faults) as (keyof typeof faults)[])('finds: %s', async (name) => {
  const { check, status, message, remedy, flags = [], exitCode } = expected[name]
  const { env } = await faults[name](stage)
  const ran = await runCommand(['doctor', ...flags, '--json'], { env })
  const { checks, ...counts } = ran.json<Examined>()
  expect(checks).toContainEqual({
    check,
    status,
    message: expect.stringMatching(message),
    remedy: expect.stringMatching(remedy),
  })
  // Whatever is not ok says what to do, and the counts are those of the lines.
  for (const finding of checks) expect(finding.remedy === null).toBe(finding.status === 'ok')
  expect(counts.fail).toBe(checks.filter((finding) => finding.status === 'fail').length)
  expect(ran.exitCode).toBe(exitCode ?? (counts.fail > 0 ? 1 : 0))
  expect(counts.fail > 0).toBe(status === 'fail')
  expect(ran.stdout + ran.stderr).not.toContain('secret')
  const text = await runCommand(['doctor', ...flags], { env })
  const sign = status === 'fail' ? 'FAIL' : 'warn'
  expect(text.stdout).toMatch(new RegExp(`^${sign}  ${check} .*\\n +remedy: `, 'm'))
})

test('names the logs of other prefixes where there is none under this one', async () => {
  const { env } = await faults['other-partitions'](stage)
  const ran = await runCommand(['doctor', '--prefix', 'other'], { env })
  expect(ran.stdout).toMatch(/warn {2}log .*nothing was ever stored under prefix other; .* shop/)
})

test('a password that is wrong, and an address that is none', async () => {
  const redis = await stage.redis('--requirepass', 'right-password')
  const env = { KICKOUT_REDIS_URL: redis.url.replace('//', '//:wrong-password@') }
  const ran = await runCommand(['doctor'], { env })
  expect(ran).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/WRONGPASS/) })
  expect(ran.stdout + ran.stderr).not.toMatch(/wrong-password|right-password/)
  for (const url of ['http://127.0.0.1', 'nonsense']) {
    const usage = await runCommand(['doctor', '--redis', url])
    expect(usage).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--redis must be') })
  }
  const both = { KICKOUT_REDIS_URL: redis.url, KICKOUT_POSTGRES_URL: 'postgres://127.0.0.1/x' }
  expect(await runCommand(['doctor'], { env: both })).toMatchObject({ exitCode: 2 })
  expect(await runCommand(['doctor'])).toMatchObject({ exitCode: 2 })
})
