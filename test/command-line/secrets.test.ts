import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { createPrivateKey } from 'node:crypto'
import { commands } from '../../src/command-line/commands.ts'
import { builtCommand, runCommand } from './support/built-command.ts'
import { useStage } from './support/stage.ts'

const stage = useStage()
const folder = mkdtempSync(join(tmpdir(), 'kickout-keys-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const targets = ['--issuer', 'https://login.example.com', '--subject', 'u1']
const flagsOf: Record<string, string[]> = {
  'kick-out': targets,
  sessions: ['--subject', 'u1'],
  'keys rotate': targets.slice(0, 2),
}

describe('a password', () => {
  const withStore = commands.filter(({ options }) => options.includes('redis'))
  test.each(withStore.map(({ words }) => words.join(' ')))(
    'in --redis is warned of and never printed: %s',
    async (name) => {
      const redis = await stage.redis('--requirepass', 'very-secret')
      const url = redis.url.replace('//', '//:very-secret@')
      const args = [...name.split(' '), ...(flagsOf[name] ?? [])]
      const input = 'eyJhbGciOiJFUzI1NiJ9.e30.c2ln'
      for (const flags of [[], ['--json']]) {
        const warned = await runCommand([...args, '--redis', url, ...flags], { input })
        expect(warned.stderr).toMatch(/warning: --redis holds a password.*KICKOUT_REDIS_URL/)
        const quiet = await runCommand([...args, ...flags], {
          input,
          env: { KICKOUT_REDIS_URL: url },
        })
        expect(quiet.stderr).not.toContain('holds a password')
        expect(quiet.exitCode).toBe(warned.exitCode)
        for (const ran of [warned, quiet])
          expect(ran.stdout + ran.stderr).not.toContain('very-secret')
      }
    },
  )

  test('in an address where nothing answers, or that is none, is never printed', async () => {
    for (const url of [
      'redis://:very-secret@127.0.0.1:1',
      'postgres://u:very-secret@127.0.0.1:1/db',
      'postgres://127.0.0.1:1/db?user=u&password=very-secret',
      'rdis://:very-secret@127.0.0.1:1',
    ]) {
      const kind = url.startsWith('postgres') ? 'postgres' : 'redis'
      const env = { [kind === 'redis' ? 'KICKOUT_REDIS_URL' : 'KICKOUT_POSTGRES_URL']: url }
      for (const command of [['doctor'], ['status', '--json'], ['kick-out', ...targets]]) {
        const ran = await runCommand(command, { env })
        expect([2, 3]).toContain(ran.exitCode)
        expect(ran.stdout + ran.stderr).not.toContain('very-secret')
      }
      const flag = await runCommand(['status', `--${kind}`, url])
      expect(flag.stdout + flag.stderr).not.toContain('very-secret')
    }
  })
})

describe('keys generate', () => {
  test.each([[undefined], ['ES256'], ['RS256'], ['EdDSA']])(
    'makes a private JWK: %s',
    async (alg) => {
      const ran = await runCommand([
        'keys',
        'generate',
        ...(alg === undefined ? [] : ['--alg', alg]),
      ])
      expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
      const key = ran.json<{ kid: string; alg: string; d: string }>()
      expect(key).toMatchObject({ alg: alg ?? 'ES256', kid: expect.any(String), use: 'sig' })
      expect(createPrivateKey({ key, format: 'jwk' }).type).toBe('private')
    },
  )

  test('writes a file that only its owner may read, and never over another', async () => {
    const file = join(folder, 'key.json')
    const ran = await runCommand(['keys', 'generate', '--out', file])
    expect(ran.exitCode).toBe(0)
    const { d, kid } = JSON.parse(readFileSync(file, 'utf8')) as { d: string; kid: string }
    expect(ran.stdout).toContain(kid)
    expect(ran.stdout + ran.stderr).not.toContain(d)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const again = await runCommand(['keys', 'generate', '--out', file])
    expect(again).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is there already'),
    })
    expect((await runCommand(['keys', 'generate', '--alg', 'HS256'])).exitCode).toBe(2)
  })

  test('shows no private key on a terminal', async () => {
    // `script` gives the command a terminal.
    const command = `${process.execPath} ${await builtCommand()} keys generate; echo "exit $?"`
    const shown = execFileSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' })
    expect(shown).toContain('is not shown on a terminal')
    expect(shown).toContain('exit 2')
    expect(shown).not.toContain('"d"')
  })
})

test('wrong usage is exit code 2, help and version are 0', async () => {
  expect(await runCommand([])).toMatchObject({ exitCode: 2, stdout: '' })
  expect(await runCommand(['kick', 'out'])).toMatchObject({ exitCode: 2 })
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  expect(await runCommand(['--version'])).toMatchObject({ exitCode: 0, stdout: `${version}\n` })
  const help = await runCommand(['--help'])
  expect(help).toMatchObject({ exitCode: 0, stderr: '' })
  for (const { words, options, summary } of commands) {
    expect(help.stdout).toContain(summary)
    const own = await runCommand([...words, '-h'])
    expect(own.exitCode).toBe(0)
    for (const option of options) expect(own.stdout).toContain(`--${option}`)
  }
})

test('one word that names no command is not repeated, since it may have been a secret', async () => {
  const ran = await runCommand(['sk_live_secret'])
  expect(ran).toMatchObject({ exitCode: 2 })
  expect(ran.stderr).not.toContain('sk_live_secret')
})
