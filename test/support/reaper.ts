import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Reads "watch <pid>" and "forget <pid>" until this process is gone, however it went: its end of
// the pipe closes then. An 'exit' listener is not enough: in jest's sandbox it never fires, and no
// listener survives a SIGKILL.
const SCRIPT = `
pids=' '
while read -r verb pid; do
  case $verb in
    watch) pids="$pids$pid " ;;
    forget) pids="\${pids%% $pid *} \${pids#* $pid }" ;;
  esac
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
rm -rf "$0"
`

interface Reaper {
  readonly shell: ChildProcess
  readonly scratchDir: string
  readonly pids: Set<number>
}

let reaper: Reaper | undefined

function startReaper(): Reaper {
  const scratchDir = mkdtempSync(join(tmpdir(), 'kickout-redis-'))
  const shell = spawn('/bin/sh', ['-c', SCRIPT, scratchDir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // Ctrl-C goes to the whole foreground group; the reaper must outlive it
  })
  shell.unref()
  const stdin = shell.stdin as NodeJS.WritableStream & { unref?: () => void }
  stdin.unref?.()
  stdin.on('error', () => undefined)
  return { shell, scratchDir, pids: new Set() }
}

/** Makes an empty directory that is gone at the latest when this process is. */
export function makeScratchDir(): string {
  reaper ??= startReaper()
  return mkdtempSync(join(reaper.scratchDir, 'node-'))
}

/** Removes a directory of {@link makeScratchDir}. */
export function removeScratchDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true })
  retireWhenIdle()
}

/** From now on `pid` is killed when this process ends for whatever reason. */
export function watchProcess(pid: number): void {
  reaper ??= startReaper()
  reaper.pids.add(pid)
  reaper.shell.stdin?.write(`watch ${pid}\n`)
}

/** `pid` has ended; its number may belong to another process soon. */
export function forgetProcess(pid: number): void {
  if (!reaper?.pids.delete(pid)) return
  reaper.shell.stdin?.write(`forget ${pid}\n`)
  retireWhenIdle()
}

function retireWhenIdle(): void {
  if (!reaper || reaper.pids.size > 0 || readdirSync(reaper.scratchDir).length > 0) return
  reaper.shell.stdin?.end()
  reaper = undefined
}
