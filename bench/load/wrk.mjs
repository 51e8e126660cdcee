import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const script = fileURLToPath(new URL('tokens.lua', import.meta.url))
const run = promisify(execFile)

export async function pressWithWrk({ port, connections, seconds, tokensFile, offset = 0 }) {
  const { stdout } = await run('wrk', [
    ...['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`],
    ...['--script', script, `http://127.0.0.1:${port}`, tokensFile, String(offset)],
  ])
  return JSON.parse(stdout.trim().split('\n').at(-1))
}
