import { Redis, type RedisOptions } from 'ioredis'
import { optionError } from '../../options.ts'
import type { Credentials, RedisClient } from '../options.ts'

/** Where Redis is: a URL, options of ioredis, or a client that was made of them. */
export type RedisSource = string | RedisOptions | RedisClient

/** What connections of ours are made after. */
export interface ConnectionTemplate {
  readonly client: RedisClient
  readonly credentials: Credentials | undefined
}

/** Options of ioredis that say where Redis is: an object without any of them is more likely a mistake than localhost. */
const places = ['host', 'port', 'path', 'sentinels']

/**
 * A client to make connections after. One that is made here of a URL or of options never connects itself, so nothing of it
 * has to be closed and nothing of it can be printed.
 *
 * @throws TypeError for anything that is no source
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

/** Puts the credentials of the moment on a client that is about to connect. */
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
    // The application may have changed them on its own client.
    const { username, password } = (template as Redis).options
    Object.assign((client as Redis).options, { username, password })
  }
}
