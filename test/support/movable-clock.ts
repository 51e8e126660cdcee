import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const libraries = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1',
]

/** Debian's libfaketime, which lets the clock of a process be set; `undefined` where it is not installed. */
export function findFaketime(): string | undefined {
  return libraries.find((path) => existsSync(path))
}

/** The clock of a process that was started with this environment. Its monotonic clock stays the machine's. */
export interface MovableClock {
  readonly env: NodeJS.ProcessEnv
  /** @param aheadMs - of the machine's clock; negative for behind it */
  set(aheadMs: number): void
}

/** @throws Error where libfaketime is not installed */
export function makeClock(dir: string, aheadMs: number): MovableClock {
  const library = findFaketime()
  if (library === undefined)
    throw new Error('libfaketime is not installed: run "node scripts/ensure-faketime.mjs"')
  const file = join(dir, 'clock')
  const set = (ms: number): void => {
    // Written beside it and moved, so that no process reads half of it.
    writeFileSync(`${file}.next`, `${ms < 0 ? '' : '+'}${(ms / 1000).toFixed(3)}`)
    renameSync(`${file}.next`, file)
  }
  set(aheadMs)
  return {
    env: {
      // The allocator of Debian's redis-server asks for the time before libfaketime is ready, and fails. That of the C library does not.
      LD_PRELOAD: `${library} ${join(dirname(library), '../libc.so.6')}`,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
    set,
  }
}
