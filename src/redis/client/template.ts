import { Redis, type RedisOptions } from 'ioredis'
import { optionError } from '../../options.ts'
import type { Credentials, RedisClient } from '../options.ts'

/** Where Redis is: a URL, options of ioredis, or an ioredis client. */
export type RedisSource = string | RedisOptions | RedisClient

/** The client whose options new connections take, and the function that gives their credentials. */
export interface ConnectionTemplate {
  readonly client: RedisClient
  readonly credentials: Credentials | undefined
}

/** Options of ioredis that say where Redis is. An object with none of them is refused: it is more likely a mistake. */
const places = ['host', 'port', 'path', 'sentinels']

/**
 * The client whose options new connections take. A client that is made here, of a URL or of options, never connects, so it
 * need not be closed.
 *
 * @throws TypeError for a value that is no {@link RedisSource}
 */
export function toTemplate(where: string, source: unknown): RedisClient {
  if (typeof (source as Partial<RedisClient> | null)?.duplicate === 'function')
    return source as RedisClient
  if (typeof source === 'string') {
    if (URL.canParse(source) && /^rediss?:$/.test(new URL(source).protocol))
      return new Redis(source, { lazyConnect: true })
    throw optionError(where, 'redis', 'must be a redis: or rediss: URL where it is a string')
  }
  // A client of another library has methods of its own; plain options have none.
  const isPlain =
    typeof source === 'object' &&
    source !== null &&
    [Object.prototype, null].includes(Object.getPrototypeOf(source) as object | null) &&
    places.some((name) => name in source)
  if (isPlain) return new Redis({ ...source, lazyConnect: true })
  throw new TypeError(
    `${where}: the first argument must be a redis: URL, options of ioredis, or an ioredis Redis or Cluster ` +
      '(clients of other libraries, such as node-redis, do not fit)',
  )
}

/** Gives a client the current credentials, before it connects. */
export async function applyCredentials(
  client: RedisClient,
  { client: template, credentials }: ConnectionTemplate,
): Promise<void> {
  const given = await credentials?.()
  if (given) {
    const { username, password } = given
    const target = client.isCluster
      ? ((client as Exclude<RedisClient, Redis>).options.redisOptions ?? {})
      : (client as Redis).options
    Object.assign(target, { username, password })
  } else if (!client.isCluster && !template.isCluster) {
    // The application may have changed the credentials on its own client.
    const { username, password } = (template as Redis).options
    Object.assign((client as Redis).options, { username, password })
  }
}
