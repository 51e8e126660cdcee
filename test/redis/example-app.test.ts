import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from '@jest/globals'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the tour is the same on a Redis of its own, which stops midway and comes back', async () => {
  const tsx = fileURLToPath(import.meta.resolve('tsx/cli'))
  const { stdout } = await promisify(execFile)(process.execPath, [tsx, 'example-app/tour.ts'], {
    cwd: root,
    env: { ...process.env, EXAMPLE_TOUR_REDIS: '1' },
    timeout: 60_000,
  })
  expect(stdout).toContain('One login service and 2 API servers, on Redis')
  expect(stdout).toContain('All as it should be.')
  expect(stdout.match(/^✓ /gm)).toHaveLength(20)
}, 70_000)
