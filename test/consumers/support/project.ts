import { execFile } from 'node:child_process'
import { cp, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const installTimeoutMs = 300_000
const runTimeoutMs = 120_000

/** The versions of Node that the package promises: the first one exactly, since require() of ES modules came with it. */
export const NODES = ['20.19.0', '22', '24']

/** What some entries need. A project that loads every entry installs them. */
export const OPTIONAL_PEERS = { ioredis: '^6', pg: '^8', '@opentelemetry/api': '^1.9' }

export interface ProjectOptions {
  /** The folder of test/consumers/projects whose files it has. */
  readonly files: string
  /** What it installs beside the package, with ranges. */
  readonly packages: Readonly<Record<string, string>>
  /** @defaultValue 'commonjs' */
  readonly type?: 'commonjs' | 'module'
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Path of the Node to run; this process's own unless given. */
  readonly node?: string
}

/** A project of a user of the package: an own folder with the packed tarball and other packages installed. */
export interface Project {
  readonly folder: string
  /**
   * Runs a script of the project, such as `node_modules/jest/bin/jest.js`, to its end.
   *
   * @returns all that it printed
   * @throws Error with all that it printed, when it fails or does not end by itself
   */
  node(args: readonly string[], options?: RunOptions): Promise<string>
  write(file: string, content: object | string): Promise<void>
}

/**
 * Installs a project. npm's cache, one folder for all projects, holds what it has fetched before.
 */
export async function makeProject({
  files,
  packages,
  type = 'commonjs',
}: ProjectOptions): Promise<Project> {
  const { CONSUMERS_FOLDER: parent, CONSUMERS_TARBALL: tarball } = process.env
  if (parent === undefined || tarball === undefined) throw new Error('support/pack.mjs did not run')
  const folder = await mkdtemp(join(parent, `${files}-`))
  await cp(join(import.meta.dirname, '../projects', files), folder, { recursive: true })
  const project: Project = {
    folder,
    node: (args, { env = {}, node = process.execPath } = {}) =>
      run(node, args, folder, env, runTimeoutMs),
    write: (file, content) =>
      writeFile(
        join(folder, file),
        typeof content === 'string' ? content : JSON.stringify(content, undefined, 2),
      ),
  }
  await project.write('package.json', {
    private: true,
    type,
    dependencies: { ...packages, 'express-kickout': `file:${tarball}` },
  })
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock', '--silent']
  await run('npm', ['install', ...flags], folder, {}, installTimeoutMs)
  return project
}

/** The executable of a version of Node, fetched by npx where it is not there yet. */
export async function nodeOf(version: string): Promise<string> {
  const args = ['--yes', '--prefer-offline', '--package', `node@${version}`, '--']
  const ask = ['node', '-p', '[process.version, process.execPath].join()']
  const { stdout } = await exec('npx', [...args, ...ask], { timeout: installTimeoutMs })
  const [found = '', path = ''] = stdout.trim().split(',')
  if (!found.startsWith(`v${version}.`) && found !== `v${version}`)
    throw new Error(`npx gave Node ${found} instead of ${version}`)
  return path
}

async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
  timeout: number,
): Promise<string> {
  try {
    const { stdout, stderr } = await exec(command, args, {
      cwd,
      timeout,
      env: { ...environment(), ...env },
      maxBuffer: 64 * 1024 * 1024,
    })
    return stdout + stderr
  } catch (error) {
    const { stdout, stderr, killed } = error as { stdout: string; stderr: string; killed: boolean }
    const how = killed ? `did not end within ${timeout} ms` : 'failed'
    throw new Error(`${command} ${args.join(' ')} ${how}:\n${stdout}\n${stderr}`, { cause: error })
  }
}

/** Without what this run of jest and npm has set for itself. */
function environment(): NodeJS.ProcessEnv {
  const isOwn = (name: string) => /^(npm_|JEST_|NODE_OPTIONS$|NODE_ENV$|INIT_CWD$)/.test(name)
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOwn(name)))
}
