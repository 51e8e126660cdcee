import type { Redis } from 'ioredis'
import { type RedisServer, startRedis } from '../../support/redis-server.ts'
import { startProxy, type TcpProxy } from '../../support/tcp-proxy.ts'
import { beginSettledLog, type Cleanup, useCleanup } from './deployment.ts'

export interface Started {
  readonly server: RedisServer
  /** A connection past all proxies. */
  readonly admin: Redis
}

export interface Servers extends Cleanup {
  /** A server of the test's own with a log that has been there for a while, closed after the test. */
  start(...args: string[]): Promise<Started>
  startBehindProxy(...args: string[]): Promise<Started & { readonly proxy: TcpProxy }>
}

export function useServers(): Servers {
  const cleanup = useCleanup()
  const { closing } = cleanup
  async function start(...args: string[]): Promise<Started> {
    const server = closing(await startRedis({ args }))
    const admin = server.client()
    await beginSettledLog(admin, { prefix: 'kickout', partitions: 1 })
    return { server, admin }
  }
  return {
    ...cleanup,
    start,
    async startBehindProxy(...args) {
      const { server, admin } = await start(...args)
      const proxy = closing(await startProxy({ upstream: server }))
      return { server, admin, proxy }
    },
  }
}
