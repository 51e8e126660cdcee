import type { Redis } from 'ioredis'
import { UnfitRedis } from './failure.ts'

function fieldOf(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
}

/**
 * Checks the primary at the other end of a connection.
 *
 * @returns the id of this primary and its history
 * @throws UnfitRedis when it may evict keys: each eviction lets a kicked-out token back in, without an error
 */
export async function inspect(client: Redis): Promise<{ replicationId: string }> {
  const { replicationId, role } = await look(client)
  if (role === 'slave') throw new Error('READONLY The server is a replica')
  return { replicationId }
}

/**
 * Checks the replica at the other end of a connection.
 *
 * @returns the id of the history that it follows, the same as its primary's
 * @throws Error when it follows no primary at the moment
 */
export async function inspectReplica(client: Redis): Promise<{ replicationId: string }> {
  const { replicationId, role, link } = await look(client)
  if (role !== 'slave' || link !== 'up')
    throw new Error('The Redis replica is not connected to a primary')
  return { replicationId }
}

/** The replicas that a primary knows, as `host:port`. */
export async function replicasOf(client: Redis): Promise<{ host: string; port: number }[]> {
  const info = await client.info('replication')
  return [...info.matchAll(/^slave\d+:ip=([^,]+),port=(\d+),state=online/gm)].map(
    ([, host = '', port]) => ({ host, port: Number(port) }),
  )
}

async function look(client: Redis): Promise<{ replicationId: string; role: string; link: string }> {
  const [memory, replication] = await Promise.all([
    client.info('memory'),
    client.info('replication'),
  ])
  const policy = fieldOf(memory, 'maxmemory_policy')
  if (policy !== '' && policy !== 'noeviction') {
    throw new UnfitRedis(
      `Redis has maxmemory-policy ${policy}, which deletes kick-outs when memory runs out: set it to noeviction`,
    )
  }
  return {
    replicationId: fieldOf(replication, 'master_replid'),
    role: fieldOf(replication, 'role'),
    link: fieldOf(replication, 'master_link_status'),
  }
}
