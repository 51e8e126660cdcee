import { execFileSync } from 'node:child_process'
import { ensureProgram, findProgram } from './system-package.mjs'

const OLDEST_MAJOR = 7

ensureProgram({
  isPresent() {
    const path = findProgram('redis-server')
    if (path === undefined) return false
    const version = execFileSync(path, ['--version'], { encoding: 'utf8' })
    return Number(/v=(\d+)\./.exec(version)?.[1]) >= OLDEST_MAJOR
  },
  debian: 'redis-server',
  brew: ['redis'],
  advice:
    `The Redis tests start their own redis-server, ${OLDEST_MAJOR}.0 or newer, and found none on PATH.\n` +
    'Install it and try again:\n' +
    '  Debian, Ubuntu: sudo apt-get install redis-server   (Debian 12, Ubuntu 24.04 or newer)\n' +
    '  macOS:          brew install redis\n' +
    '  elsewhere:      https://redis.io/docs/latest/operate/oss_and_stack/install/\n' +
    'It does not have to run: the tests use their own ports, never 6379.',
})
