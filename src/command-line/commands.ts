import type { Given, OptionName } from './arguments.ts'
import type { Environment } from './environment.ts'
import type { Output } from './output.ts'

/** What a command works with. */
export interface Invocation {
  readonly given: Given
  readonly environment: Environment
  readonly output: Output
  /** Reads all of standard input. */
  readonly readInput: () => Promise<string>
}

/** Runs to its end. Resolves with `true` for exit code 0 and `false` for 1; anything else is a `CommandFailure`. */
export type Run = (invocation: Invocation) => Promise<boolean>

export interface Command {
  readonly words: readonly string[]
  readonly summary: string
  readonly options: readonly OptionName[]
  /** The code is loaded when the command runs, so that none waits for what another needs. */
  readonly load: () => Promise<Run>
}

const redis = ['redis', 'prefix', 'partitions'] as const
const postgres = ['postgres', 'schema'] as const
const store = [...redis, ...postgres] as const
const target = ['subject', 'session', 'jti', 'client', 'everyone'] as const

export const commands: readonly Command[] = [
  {
    words: ['kick-out'],
    summary: 'kick out a user, a session, a token, a client or everyone, and wait for the servers',
    options: ['issuer', ...target, 'yes', 'reason', 'by', 'timeout', 'min-replicas', ...store],
    load: async () => (await import('./kick-out.ts')).kickOut,
  },
  {
    words: ['kick-outs'],
    summary: 'list the kick-outs, the newest first',
    options: ['issuer', 'limit', 'before', 'by', 'level', 'target', ...store],
    load: async () => (await import('./kick-outs.ts')).listKickOuts,
  },
  {
    words: ['sessions'],
    summary: 'list the sessions of a user',
    options: ['subject', 'issuer', ...store],
    load: async () => (await import('./sessions.ts')).listSessions,
  },
  {
    words: ['servers'],
    summary: 'list the resource servers, and how fresh each is',
    options: [...store],
    load: async () => (await import('./servers.ts')).listServers,
  },
  {
    words: ['status'],
    summary: 'say in a few lines what the store holds',
    options: [...store],
    load: async () => (await import('./status.ts')).showStatus,
  },
  {
    words: ['doctor'],
    summary: 'look for everything that is wrong, and say what to do about it',
    options: ['issuer', 'jwks-uri', ...store],
    load: async () => (await import('./doctor/doctor.ts')).examine,
  },
  {
    words: ['keys', 'generate'],
    summary: 'make a private signing key',
    options: ['alg', 'out'],
    load: async () => (await import('./keys.ts')).generateKey,
  },
  {
    words: ['keys', 'rotate'],
    summary: 'have the next key of the key store published, and then used by every issuer process',
    options: ['issuer', 'alg', 'publish-ahead', 'redis', 'prefix', ...postgres],
    load: async () => (await import('./key-rotation.ts')).rotateKeys,
  },
  {
    words: ['token', 'inspect'],
    summary: 'say what a guard would make of the token on standard input, and why',
    options: ['issuer', 'audience', 'jwks-uri', ...store],
    load: async () => (await import('./token-inspect.ts')).inspectToken,
  },
  {
    words: ['postgres', 'migrate'],
    summary: 'make the schema, or bring it up to date',
    options: ['print', ...postgres],
    load: async () => (await import('./postgres-schema.ts')).migrate,
  },
  {
    words: ['postgres', 'new-epoch'],
    summary: 'after a restore: have every server compare what it remembers with what is there',
    options: [...postgres],
    load: async () => (await import('./postgres-schema.ts')).beginEpoch,
  },
]
