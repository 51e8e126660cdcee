import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from '@jest/globals'

const root = fileURLToPath(new URL('../..', import.meta.url))

async function runTour(): Promise<{ code: number | null; output: string }> {
  const {
    REDIS_URL: _redis,
    DATABASE_URL: _database,
    EXAMPLE_TOUR_REDIS: _own,
    ...env
  } = process.env
  return new Promise((resolve) => {
    const tsx = fileURLToPath(import.meta.resolve('tsx/cli'))
    const child = execFile(
      process.execPath,
      [tsx, 'example-app/tour.ts'],
      { cwd: root, env, timeout: 60_000 },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode, output: stdout + stderr })
      },
    )
  })
}

test('the tour ends well within a minute, every step of it checked', async () => {
  const { code, output } = await runTour()
  expect(output).toContain('All as it should be.')
  expect(output).not.toContain('✗')
  expect(output.match(/^✓ /gm)).toHaveLength(17)
  expect(code).toBe(0)
}, 70_000)
