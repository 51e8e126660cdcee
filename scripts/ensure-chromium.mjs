import { ensureProgram, findProgram } from './system-package.mjs'

const OWN_CHOICE = process.env.CHROMIUM_PATH

const PROGRAMS = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

if (OWN_CHOICE && !findProgram(OWN_CHOICE)) {
  process.stderr.write(`CHROMIUM_PATH is ${OWN_CHOICE}, and there is no program to run there.\n`)
  process.exit(1)
}

ensureProgram({
  isPresent: () => Boolean(OWN_CHOICE) || findProgram(...PROGRAMS) !== undefined,
  debian: 'chromium',
  brew: ['--cask', 'google-chrome'],
  advice:
    'The browser tests drive Chromium or Chrome, and found neither.\n' +
    'Install one and try again:\n' +
    '  Debian: sudo apt-get install chromium\n' +
    '  macOS:  brew install --cask google-chrome\n' +
    'or set CHROMIUM_PATH to the program if it is somewhere else.',
})
