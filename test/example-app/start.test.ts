import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from '@jest/globals'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsx = fileURLToPath(import.meta.resolve('tsx/cli'))

test('the example says what to open and whom to sign in as, serves it, and stops at Ctrl+C', async () => {
  const { REDIS_URL: _redis, DATABASE_URL: _database, ...env } = process.env
  const child = spawn(process.execPath, [tsx, 'example-app/start.ts'], {
    cwd: root,
    env: { ...env, LOGIN_PORT: '0', API_PORTS: '0', PROVIDER_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (output.includes('Ctrl+C stops')) break
    }
    const url = /Open +(http:\S+)/.exec(output)?.[1] ?? ''
    expect(output).toMatch(/ada +analytical engine +notes:read notes:write sessions:admin/)
    const provider = /Provider +(http:\S+?),/.exec(output)?.[1] ?? ''
    expect((await fetch(`${provider}/.well-known/openid-configuration`)).status).toBe(200)
    const page = await fetch(url)
    expect(await page.text()).toContain('<title>Notes')
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    expect(await ended).toEqual([0, null])
  } finally {
    child.kill('SIGKILL')
  }
}, 30_000)
