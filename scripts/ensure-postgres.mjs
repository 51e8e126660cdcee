import { existsSync, readdirSync } from 'node:fs'
import { ensureProgram, findProgram } from './system-package.mjs'

const OLDEST_MAJOR = 13
const DEBIAN = '/usr/lib/postgresql'

/** Debian keeps the programs of the server out of PATH, in a folder of their version. */
function findInitdb() {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).map(Number) : []
  const paths = versions
    .filter((version) => version >= OLDEST_MAJOR)
    .map((version) => `${DEBIAN}/${version}/bin/initdb`)
  return findProgram(...paths, 'initdb')
}

ensureProgram({
  isPresent: () => findInitdb() !== undefined,
  debian: 'postgresql',
  brew: ['postgresql@17'],
  advice:
    `The PostgreSQL tests start their own server, ${OLDEST_MAJOR} or newer, and found no initdb.\n` +
    'Install it and try again:\n' +
    '  Debian, Ubuntu: sudo apt-get install postgresql\n' +
    '  macOS:          brew install postgresql@17, and put its bin folder on PATH\n' +
    '  elsewhere:      https://www.postgresql.org/download/\n' +
    'It does not have to run: the tests use their own ports and data, never 5432.',
})
