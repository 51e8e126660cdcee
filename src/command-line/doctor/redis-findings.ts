import { countText, durationText } from '../output.ts'
import { clockFinding } from './clock-findings.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import type { RedisFacts } from './redis-facts.ts'
import { nodeFindings } from './redis-node-findings.ts'
import type { RedisRights } from './redis-rights.ts'
import { serverFindings } from './server-findings.ts'

function rightsFindings(rights: RedisRights): Finding[] {
  const { user, missingForServers, missingForIssuers, failure, isOpen } = rights
  const name = user === '' ? 'this user' : `user ${user}`
  const remedy =
    'give it the rights that docs/redis.md names under "Users": the user of resource servers to those, the user of issuers to whatever kicks out'
  if (failure !== undefined) return [fail('rights', `${name}: ${failure}`, remedy)]
  if (missingForServers.length > 0) {
    return [
      fail(
        'rights',
        `${name} may not send ${missingForServers.join(', ')}: a server cannot follow the log`,
        remedy,
      ),
    ]
  }
  if (missingForIssuers.length > 0) {
    return [
      warn(
        'rights',
        `${name} may follow the log, and neither kick out nor hold sessions: it may not send ${missingForIssuers.join(', ')}`,
        'right for a resource server. For kick-outs use the user of issuers',
      ),
    ]
  }
  if (isOpen) {
    return [
      warn(
        'rights',
        `${name} needs no password: every client that reaches this address can undo kick-outs`,
        'ACL SETUSER default off, and a user each for resource servers and issuers',
      ),
    ]
  }
  return [ok('rights', `${name} may follow the log, kick out and hold sessions`)]
}

function clockFindings({ nodes }: RedisFacts): Finding[] {
  return nodes.flatMap(({ name, clock }) =>
    clock ? [clockFinding(nodes.length > 1 ? `Redis at ${name}` : 'Redis', clock)] : [],
  )
}

function partitionFindings({
  layout,
  partitions,
  beyond,
  isCluster,
  nodes,
}: RedisFacts): Finding[] {
  const { held, settings } = layout
  const { prefix } = settings
  if (held && held.partitions !== settings.partitions) {
    return [
      fail(
        'partitions',
        `--partitions says ${settings.partitions}, and Redis holds a log of ${held.partitions}: a server with another number refuses to start`,
        `set "partitions" to ${held.partitions} in every process, or use another "prefix"`,
      ),
    ]
  }
  const disagreeing = partitions.filter(
    (head) => head.partitions !== undefined && head.partitions !== String(settings.partitions),
  )
  const stray = [...disagreeing.map(({ partition }) => partition), ...beyond]
  if (stray.length > 0) {
    return [
      fail(
        'partitions',
        `partition ${stray.join(', ')} under prefix ${prefix} belongs to a log of another number of partitions than ${settings.partitions}: two deployments share the prefix, or processes were configured differently`,
        'give every process the same "partitions", or each deployment a "prefix" of its own',
      ),
    ]
  }
  const following = partitions.filter(({ hasServers }) => hasServers).length
  if (following > 0 && following < partitions.length) {
    return [
      fail(
        'partitions',
        `servers follow ${following} of ${countText(partitions.length, 'partition')}: kick-outs of the users in the others do not reach them`,
        'give every process the same "partitions"',
      ),
    ]
  }
  if (isCluster && settings.partitions < nodes.length) {
    return [
      warn(
        'partitions',
        `${countText(settings.partitions, 'partition')} on a Cluster of ${nodes.length} primaries: one of them does all the work`,
        'begin a new "prefix" with 16 partitions or more',
      ),
    ]
  }
  return [ok('partitions', countText(settings.partitions, 'partition'))]
}

function logFindings({ layout, partitions, otherPrefixes, failures }: RedisFacts): Finding[] {
  const { held, settings } = layout
  if (failures.length > 0) {
    return [
      fail(
        'log',
        `cannot be read: ${failures.join('; ')}`,
        'give this user the rights of resource servers, at least',
      ),
    ]
  }
  if (!held) {
    const others =
      otherPrefixes.length > 0 ? `; this database has logs under ${otherPrefixes.join(', ')}` : ''
    return [
      warn(
        'log',
        `nothing was ever stored under prefix ${settings.prefix}${others}`,
        'new deployments begin like this. Otherwise give the database, --prefix and key prefix of your servers',
      ),
    ]
  }
  const broken = partitions.filter(
    ({ seq, first, entries }) => seq >= first && entries < seq - first + 1,
  )
  if (broken.length > 0) {
    return [
      fail(
        'log',
        `kick-outs are missing in partition ${broken.map(({ partition }) => partition).join(', ')}: another program trimmed or deleted keys`,
        'servers that remember them write them again within seconds; if this stays, kick out again whom you have kicked out',
      ),
    ]
  }
  const entries = partitions.reduce((sum, head) => sum + head.entries, 0)
  return [
    ok('log', `${countText(entries, 'kick-out')}, kept for ${durationText(held.retentionMs)}`),
  ]
}

/** Everything that is right and wrong with a Redis. */
export function redisFindings(facts: RedisFacts): Finding[] {
  const perNode = facts.nodes.flatMap((node) => {
    const findings = nodeFindings(node)
    if (facts.nodes.length === 1) return findings
    return findings.map((finding) => ({ ...finding, message: `${node.name}: ${finding.message}` }))
  })
  return [
    ...perNode,
    ...rightsFindings(facts.rights),
    ...clockFindings(facts),
    ...logFindings(facts),
    ...partitionFindings(facts),
    ...(facts.failures.length > 0 ? [] : serverFindings(facts.servers)),
  ]
}
