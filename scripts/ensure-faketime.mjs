import { existsSync } from 'node:fs'
import { ensureProgram } from './system-package.mjs'

const libraries = ['x86_64', 'aarch64'].map(
  (machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`,
)

// Elsewhere than on Linux tests go without wrong clocks: the library has to be loaded into the process.
if (process.platform === 'linux') {
  ensureProgram({
    isPresent: () => libraries.some((path) => existsSync(path)),
    debian: 'libfaketime',
    brew: ['libfaketime'],
    advice:
      'Tests set the clocks of processes wrong with libfaketime, and did not find it. Install it and try again:\n' +
      '  Debian, Ubuntu: sudo apt-get install libfaketime',
  })
}
