import { ensureProgram, findProgram } from './system-package.mjs'

ensureProgram({
  // Debian keeps it in /usr/sbin, which is on the PATH of root only.
  isPresent: () => findProgram('/usr/sbin/pgbouncer', 'pgbouncer') !== undefined,
  debian: 'pgbouncer',
  brew: ['pgbouncer'],
  advice:
    'The drills of PostgreSQL put a PgBouncer of their own before it, and found none.\n' +
    'Install it and try again:\n' +
    '  Debian, Ubuntu: sudo apt-get install pgbouncer\n' +
    '  macOS:          brew install pgbouncer\n' +
    '  elsewhere:      https://www.pgbouncer.org/install.html\n' +
    'It does not have to run: the tests use their own ports and settings, never 6432.',
})
