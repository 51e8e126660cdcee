import type { Redis } from 'ioredis'
import { UnfitRedis } from './failure.ts'

function fieldOf(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
}

/**
 * Looks a server over on each new connection.
 *
 * @returns what names this primary and its history
 * @throws UnfitRedis when it may evict keys: each eviction un-revokes somebody, without an error to anyone
 */
export async function inspect(client: Redis): Promise<{ replicationId: string }> {
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
  if (fieldOf(replication, 'role') === 'slave') throw new Error('READONLY The server is a replica')
  return { replicationId: fieldOf(replication, 'master_replid') }
}
