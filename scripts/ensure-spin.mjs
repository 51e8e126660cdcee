import { ensureProgram, findProgram } from './system-package.mjs'

ensureProgram({
  isPresent: () => findProgram('spin') !== undefined && findProgram('gcc', 'cc') !== undefined,
  debian: 'spin',
  brew: ['spin'],
  advice:
    'The model is checked by Spin, which needs a C compiler, and one of them is not on PATH.\n' +
    'Install them and try again:\n' +
    '  Debian, Ubuntu: sudo apt-get install spin gcc libc6-dev\n' +
    '  macOS:          brew install spin\n' +
    '  elsewhere:      https://spinroot.com/spin/Man/README.html',
})
