import { countText } from '../output.ts'
import { fieldOf } from '../redis-client.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import type { NodeFacts } from './redis-facts.ts'

const minMajor = 7
/** From this share of `maxmemory` on the operator is warned. */
const maxFullness = 0.8

function versionFinding({ info }: NodeFacts): Finding {
  const valkey = fieldOf(info, 'valkey_version')
  const version = valkey === '' ? fieldOf(info, 'redis_version') : valkey
  const name = valkey === '' ? 'Redis' : 'Valkey'
  if (version === '') {
    return fail(
      'version',
      'this user may not ask for it (INFO)',
      'grant +info: every server of ours looks at it when it connects',
    )
  }
  if (Number.parseInt(version, 10) >= minMajor) return ok('version', `${name} ${version}`)
  return fail('version', `${name} ${version}`, 'use Redis 7 or later, or Valkey')
}

function roleFinding({ info, name }: NodeFacts): Finding[] {
  if (fieldOf(info, 'role') !== 'slave') return []
  const primary = `${fieldOf(info, 'master_host')}:${fieldOf(info, 'master_port')}`
  return [
    fail(
      'role',
      `${name} is a replica of ${primary}: it proves nothing, and takes no kick-out`,
      `connect to the primary (${primary}), by name or through Sentinel`,
    ),
  ]
}

function evictionFindings({ info }: NodeFacts): Finding[] {
  const policy = fieldOf(info, 'maxmemory_policy')
  const evicted = Number(fieldOf(info, 'evicted_keys'))
  const limit = Number(fieldOf(info, 'maxmemory'))
  const used = Number(fieldOf(info, 'used_memory'))
  const findings: Finding[] = []
  if (policy !== '' && policy !== 'noeviction') {
    findings.push(
      fail(
        'eviction',
        `maxmemory-policy is ${policy}: when memory runs out Redis deletes kick-outs, and users who were kicked out are let in again`,
        'CONFIG SET maxmemory-policy noeviction, and the same in the configuration file',
      ),
    )
  } else if (policy !== '') {
    findings.push(ok('eviction', 'maxmemory-policy noeviction'))
  }
  if (evicted > 0) {
    findings.push(
      fail(
        'eviction',
        `${countText(evicted, 'key')} evicted since Redis started: kick-outs may be among them`,
        'set noeviction first; then kick out again whom you have kicked out since, or everyone',
      ),
    )
  }
  if (limit > 0 && used / limit > maxFullness) {
    findings.push(
      warn(
        'memory',
        `${Math.round((used / limit) * 100)} % of maxmemory is in use: a full Redis refuses kick-outs and sign-ins`,
        'raise maxmemory, or move other data away',
      ),
    )
  }
  return findings
}

function persistenceFindings({ info, setting }: NodeFacts): Finding[] {
  if (info === '') return []
  const saves = setting('save')
  const fsync = setting('appendfsync')
  const lastFailed = [
    'aof_last_write_status',
    'aof_last_bgrewrite_status',
    'rdb_last_bgsave_status',
  ].find((name) => fieldOf(info, name) === 'err')
  const findings: Finding[] = []
  if (fieldOf(info, 'aof_enabled') === '1') {
    findings.push(
      fsync === 'no'
        ? warn(
            'persistence',
            'appendonly yes, but appendfsync no: a crash loses what the system had not written yet',
            'CONFIG SET appendfsync everysec (or always)',
          )
        : ok('persistence', `appendonly yes${fsync === undefined ? '' : `, appendfsync ${fsync}`}`),
    )
  } else {
    const remedy =
      'CONFIG SET appendonly yes, CONFIG SET appendfsync everysec, and the same in the configuration file'
    findings.push(
      saves === undefined || saves === ''
        ? warn(
            'persistence',
            `${saves === '' ? 'no persistence' : 'no append-only file'}: a restart of Redis ends every session, and kick-outs come back only from servers that still run`,
            remedy,
          )
        : warn(
            'persistence',
            `snapshots only (save ${saves}): a crash loses what came after the last one, and users kicked out then are let in again unless a server remembers`,
            remedy,
          ),
    )
  }
  if (lastFailed !== undefined) {
    findings.push(
      fail(
        'persistence',
        `Redis could not write to disk (${lastFailed} is err)`,
        'look at the disk and at the log of Redis; until then it may refuse heartbeats, and servers answer 503',
      ),
    )
  }
  return findings
}

function replicaFinding({ info, setting }: NodeFacts): Finding[] {
  if (info === '' || fieldOf(info, 'role') === 'slave') return []
  const count = Number(fieldOf(info, 'connected_slaves'))
  if (count === 0) return [ok('replicas', 'none: while this Redis is down, kick-outs are refused')]
  const links = Array.from({ length: count }, (_, index) => fieldOf(info, `slave${index}`))
  const behind = links.filter((link) => {
    const lag = Number(/lag=(\d+)/.exec(link)?.[1] ?? 0)
    return !link.includes('state=online') || lag > 10
  })
  if (behind.length > 0) {
    return [
      warn(
        'replicas',
        `${behind.length} of ${countText(count, 'replica')} not online, or more than 10 s behind`,
        'look at the log of that replica: a failover to it would lose kick-outs',
      ),
    ]
  }
  const needed = setting('min-replicas-to-write')
  if (needed === '0') {
    return [
      warn(
        'replicas',
        `${countText(count, 'replica')}, but min-replicas-to-write is 0: a primary that was cut off goes on vouching for servers that follow it`,
        'CONFIG SET min-replicas-to-write 1, CONFIG SET min-replicas-max-lag 1',
      ),
    ]
  }
  return [ok('replicas', `${countText(count, 'replica')} online`)]
}

function snapshotFinding({ setting }: NodeFacts): Finding[] {
  const saves = setting('save')
  if (saves === undefined || saves === '' || setting('stop-writes-on-bgsave-error') !== 'yes')
    return []
  return [
    warn(
      'persistence',
      'stop-writes-on-bgsave-error yes: a snapshot that fails stops heartbeats, and every server answers 503',
      'CONFIG SET stop-writes-on-bgsave-error no, or no snapshots: CONFIG SET save ""',
    ),
  ]
}

/** The findings about one primary that concern every user of it. */
export function nodeFindings(node: NodeFacts): Finding[] {
  return [
    versionFinding(node),
    ...roleFinding(node),
    ...evictionFindings(node),
    ...persistenceFindings(node),
    ...snapshotFinding(node),
    ...replicaFinding(node),
  ]
}
