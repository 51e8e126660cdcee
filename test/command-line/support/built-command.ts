import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '../../..')
const exec = promisify(execFile)

/** What the code is made of, as one name: another source is another folder. */
async function fingerprint(): Promise<string> {
  const hash = createHash('sha256')
  const files = (await readdir(join(root, 'src'), { recursive: true, encoding: 'utf8' }))
    .filter((name) => name.endsWith('.ts'))
    .sort()
  for (const name of files) hash.update(name).update(await readFile(join(root, 'src', name)))
  for (const name of ['tsconfig.json', 'tsconfig.build.json', 'package.json'])
    hash.update(await readFile(join(root, name)))
  return hash.digest('hex').slice(0, 16)
}

/**
 * Builds the package as `npm run build` does, in a folder of its own: dist may be stale, or built by others at the same
 * time. Test files of the same source share the folder.
 */
async function build(): Promise<string> {
  const folder = join(tmpdir(), `kickout-command-${await fingerprint()}`)
  if (existsSync(folder)) return folder
  const draft = await mkdtemp(join(tmpdir(), 'kickout-command-draft-'))
  await mkdir(join(draft, 'dist'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const flags = ['-p', 'tsconfig.build.json', '--noCheck', '--declaration', 'false']
  await exec(process.execPath, [tsc, ...flags, '--outDir', join(draft, 'dist')], { cwd: root })
  await cp(join(root, 'package.json'), join(draft, 'package.json'))
  await symlink(join(root, 'node_modules'), join(draft, 'node_modules'))
  // A quicker process has made the same.
  await rename(draft, folder).catch(async () => rm(draft, { recursive: true, force: true }))
  return folder
}

let building: Promise<string> | undefined

/** The file that `bin` of package.json names. */
export async function builtCommand(): Promise<string> {
  const folder = await (building ??= build())
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    bin: Record<string, string>
  }
  return join(folder, manifest.bin['express-kickout'] ?? '')
}

export interface Ran {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** Standard output as JSON; the caller says of which form. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  json<Value = Record<string, unknown>>(): Value
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly timeoutMs?: number
  /** Called with each piece of standard output and standard error. */
  readonly onOutput?: (text: string) => void
}

/** Runs the built command as a child process, in an environment that holds nothing but PATH and what is given. */
export async function runCommand(
  args: readonly string[],
  { env = {}, input, timeoutMs = 30_000, onOutput }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [await builtCommand(), ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    timeout: timeoutMs,
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    onOutput?.(text)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    onOutput?.(text)
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === null) reject(new Error(`ended by ${signal ?? '?'}:\n${stdout}\n${stderr}`))
      else resolve(code)
    })
  })
  return { exitCode, stdout, stderr, json: () => JSON.parse(stdout) as never }
}
