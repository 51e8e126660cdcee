import { expect, test } from '@jest/globals'
import { runCommand } from './support/built-command.ts'
import { listeningIssuer, soundRedis, urlOf } from './support/scenarios.ts'
import { useStage } from './support/stage.ts'

const stage = useStage()
const audience = 'https://api.example.com'

interface Inspected {
  header: Record<string, unknown>
  claims: Record<string, unknown>
  verdict: { status: number; code: string | null; reason: string | null; message: string } | null
  notes: string[]
}

async function start() {
  const redis = await soundRedis(stage)
  const { url, issuer } = await listeningIssuer(stage, redis)
  const env = {
    KICKOUT_REDIS_URL: urlOf(redis, 'kickout-issuer'),
    ISSUER_BASE_URL: url,
    AUDIENCE: audience,
  }
  const { access_token: token } = await issuer.startSession({ subject: 'u1', scope: 'a' })
  const inspect = async (input: string, ...flags: string[]) =>
    runCommand(['token', 'inspect', ...flags], { env, input })
  return { redis, url, issuer, env, token, inspect }
}

test('says what a guard would answer, and why', async () => {
  const { url, issuer, token, inspect } = await start()
  const good = await inspect(`${token}\n`, '--json')
  expect(good).toMatchObject({ exitCode: 0, stderr: '' })
  expect(good.json<Inspected>()).toEqual({
    header: { alg: 'ES256', kid: expect.any(String), typ: 'at+jwt' },
    claims: expect.objectContaining({ iss: url, sub: 'u1', aud: audience }),
    verdict: { status: 200, code: null, reason: null, message: 'a guard lets this token in' },
    notes: [],
  })
  const wrongAudience = await inspect(`Bearer ${token}`, '--audience', 'other', '--json')
  expect(wrongAudience.exitCode).toBe(1)
  expect(wrongAudience.json<Inspected>().verdict).toMatchObject({ status: 401, reason: 'audience' })
  const forged = `${token.slice(0, -4)}AAAA`
  expect((await inspect(forged, '--json')).json<Inspected>().verdict).toMatchObject({
    reason: 'signature',
  })
  const foreign = await inspect(token, '--issuer', 'http://127.0.0.1:1', '--json')
  expect(foreign.json<Inspected>().verdict).toMatchObject({ reason: 'issuer' })
  await issuer.kickOut({ subject: 'u1' })
  const out = await inspect(token)
  expect(out).toMatchObject({ exitCode: 1, stderr: '' })
  expect(out.stdout).toContain('401 invalid_token, reason revoked: Kicked out at level "subject"')
  // Its parts are shown, the token itself never: a person who reads the terminal could use it.
  for (const ran of [good, wrongAudience, out]) {
    const [, , signature = 'none'] = token.split('.')
    expect(ran.stdout + ran.stderr).not.toContain(signature)
  }
}, 60_000)

test('says what it did not look at', async () => {
  const { token, env } = await start()
  const { ISSUER_BASE_URL } = env
  const noStore = await runCommand(['token', 'inspect', '--json'], {
    env: { ISSUER_BASE_URL },
    input: token,
  })
  expect(noStore.exitCode).toBe(0)
  expect(noStore.json<Inspected>().notes).toEqual([
    expect.stringContaining('the audience was not checked'),
    expect.stringContaining('kick-outs were not checked'),
  ])
  const noIssuer = await runCommand(['token', 'inspect', '--json'], { input: token })
  expect(noIssuer.exitCode).toBe(2)
  expect(noIssuer.json<Inspected>()).toMatchObject({ claims: { sub: 'u1' }, verdict: null })
})

test('a store that is away is no verdict, and what is no token is refused', async () => {
  const { redis, issuer, token, inspect } = await start()
  for (const input of ['opaque-token', 'a.b.c', '{}']) {
    const ran = await inspect(input)
    expect(ran).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no JWT') })
    expect(ran.stderr).not.toContain(input)
  }
  expect((await inspect('')).exitCode).toBe(2)
  const asArgument = await runCommand(['token', 'inspect', token])
  expect(asArgument.exitCode).toBe(2)
  expect(asArgument.stderr).toContain('from standard input')
  expect(asArgument.stderr).not.toContain(token)
  await issuer.close()
  redis.pause()
  expect((await inspect(token)).exitCode).toBe(3)
})
