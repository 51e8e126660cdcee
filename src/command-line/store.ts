import type { SessionRecord } from '../issuer/sessions/session-store.ts'
import type { ServerReport } from '../revocation/confirm.ts'
import type { AuditedRevocations } from '../revocation/revocations.ts'
import { textOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { variables } from './environment.ts'
import { storeFailure, unreachable, usageError } from './failure.ts'
import type { Output } from './output.ts'

/** What the log of a store says of itself. */
export interface LogSummary {
  /** `false` where no server and no issuer has ever written here. */
  readonly isOpened: boolean
  readonly epoch: string | undefined
  /** Milliseconds since the epoch, by the store's clock. */
  readonly createdAt: number | undefined
  /** How many kick-outs were ever numbered, in all partitions. */
  readonly seq: number
  /** How many of them are kept. */
  readonly entries: number
  readonly partitions: number
  readonly retentionMs: number | undefined
}

/** Redis or PostgreSQL, as commands use it. */
export interface Store {
  readonly kind: 'redis' | 'postgres'
  /** Where it is, as it may be shown: no user name, no password. */
  readonly place: string
  readonly revocations: AuditedRevocations
  /** Live sessions of a user; those of every issuer where none is named. */
  findSessions(subject: string, issuer: string | undefined): Promise<SessionRecord[]>
  readLog(): Promise<LogSummary>
  /** Each server once, in the order of their ids, with the oldest of its reports. */
  readServers(): Promise<ServerReport[]>
  close(): Promise<void>
}

/** How a store is found. */
export interface StoreAddress {
  readonly kind: 'redis' | 'postgres'
  readonly url: string
}

const flagOf = { redis: '--redis', postgres: '--postgres' } as const
const variableOf = { redis: variables.redisUrl, postgres: variables.postgresUrl } as const
const protocolsOf = { redis: /^rediss?:$/, postgres: /^postgres(ql)?:$/ } as const

/** Whether a URL holds a password, in either place where one may stand. */
function holdsPassword(url: URL): boolean {
  return url.password !== '' || url.searchParams.has('password')
}

/**
 * Which store is meant. A flag comes before the environment.
 *
 * @throws CommandFailure `usage`
 */
export function findAddress(
  { given, environment, output }: Pick<Invocation, 'given' | 'environment' | 'output'>,
  kinds: readonly StoreAddress['kind'][] = ['redis', 'postgres'],
): StoreAddress | undefined {
  const flags = kinds.filter((kind) => given[kind] !== undefined)
  const fromEnvironment = { redis: environment.redisUrl, postgres: environment.postgresUrl }
  const set = kinds.filter((kind) => fromEnvironment[kind] !== undefined)
  const candidates = flags.length > 0 ? flags : set
  const [kind, other] = candidates
  if (other !== undefined) {
    throw usageError(
      flags.length > 0
        ? '--redis and --postgres are both given: one store at a time'
        : `${variables.redisUrl} and ${variables.postgresUrl} are both set: unset one, or name the store by --redis or --postgres`,
    )
  }
  if (kind === undefined) return undefined
  const flag = textOf(given, kind)
  const url = flag ?? fromEnvironment[kind] ?? ''
  const source = flag === undefined ? variableOf[kind] : flagOf[kind]
  if (!URL.canParse(url) || !protocolsOf[kind].test(new URL(url).protocol)) {
    const scheme = kind === 'redis' ? 'redis: or rediss:' : 'postgres:'
    throw usageError(`${source} must be a ${scheme} URL`)
  }
  if (flag !== undefined && holdsPassword(new URL(url))) warnOfPassword(kind, output)
  return { kind, url }
}

function warnOfPassword(kind: StoreAddress['kind'], output: Output): void {
  output.note(
    `warning: ${flagOf[kind]} holds a password, which other users of this machine can read in the list of processes, ` +
      `and which the history of your shell keeps. Set ${variableOf[kind]} instead, and change this password`,
  )
}

/** Where a store is, for people: host, port and database. */
export function placeOf({ kind, url }: StoreAddress): string {
  const { hostname, port, pathname, searchParams } = new URL(url)
  const host = hostname === '' ? (searchParams.get('host') ?? 'localhost') : hostname
  const database = decodeURIComponent(pathname.slice(1))
  return kind === 'redis'
    ? `Redis at ${host}:${port === '' ? 6379 : port}, database ${database === '' ? 0 : database}`
    : `PostgreSQL at ${host}:${port === '' ? 5432 : port}, database ${database === '' ? 'of the user' : database}`
}

/** Whether a store is named at all. */
export function namesStore({ given, environment }: Invocation): boolean {
  const { redisUrl, postgresUrl } = environment
  return [given.redis, given.postgres, redisUrl, postgresUrl].some((url) => url !== undefined)
}

/**
 * Opens the store that is meant.
 *
 * @throws CommandFailure: `usage` where none is named, `unreachable` or `refused`
 */
async function openStore(invocation: Invocation): Promise<Store> {
  const address = findAddress(invocation)
  if (!address) {
    throw usageError(
      `no store is named: set ${variables.redisUrl} or ${variables.postgresUrl}, or pass --redis URL or --postgres URL`,
    )
  }
  const { given } = invocation
  assertFitting(given, address)
  const place = placeOf(address)
  try {
    if (address.kind === 'redis') {
      const redis = await loadPeer('ioredis', async () => import('./redis-store.ts'))
      return await redis.openRedisStore(address.url, place, redis.readGivenLayout(given))
    }
    const { openPostgresStore } = await loadPeer('pg', async () => import('./postgres-store.ts'))
    return await openPostgresStore(address.url, place, textOf(given, 'schema'))
  } catch (error) {
    // Options of the library that are wrong came from flags.
    if (error instanceof TypeError) throw usageError(error.message)
    throw storeFailure(place, error)
  }
}

/** @throws CommandFailure for a flag of the other store */
export function assertFitting(given: Invocation['given'], { kind }: StoreAddress): void {
  const foreign = kind === 'redis' ? ['schema'] : ['prefix', 'partitions', 'min-replicas']
  const wrong = foreign.find((name) => name in given)
  if (wrong !== undefined)
    throw usageError(`--${wrong} is not for ${kind === 'redis' ? 'Redis' : 'PostgreSQL'}`)
}

/**
 * Loads code that needs a client library, which is an optional peer.
 *
 * @throws CommandFailure that names the package where it is not installed
 */
export async function loadPeer<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: string }
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message?.includes(`'${name}'`)) throw error
    throw unreachable(
      `the package ${name} is not installed here: npm install ${name} beside express-kickout`,
    )
  }
}

/** Opens the store, and closes it whatever happens. Failures of the store are told with where it is. */
export async function withStore<Result>(
  invocation: Invocation,
  use: (store: Store) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(invocation)
  try {
    return await use(store)
  } catch (error) {
    throw error instanceof TypeError ? usageError(error.message) : storeFailure(store.place, error)
  } finally {
    await store.close()
  }
}
