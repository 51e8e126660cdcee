import { textOf } from '../arguments.ts'
import type { Invocation } from '../commands.ts'
import { variables } from '../environment.ts'
import { storeFailure, unreachable, usageError } from '../failure.ts'
import type { Output } from '../output.ts'
import { assertFitting, findAddress, loadPeer, placeOf, type StoreAddress } from '../store.ts'
import { type Finding, fail, ok } from './finding.ts'
import { issuerFindings } from './issuer-findings.ts'

/** Looks Redis over. @throws the error of the connection */
async function examineRedis({ given }: Invocation, { url }: StoreAddress): Promise<Finding[]> {
  const { connectToRedis } = await loadPeer('ioredis', async () => import('../redis-client.ts'))
  const { assumedLayout, readGivenLayout, readLayout } = await import('../redis-store.ts')
  const { readRedisFacts } = await import('./redis-facts.ts')
  const { redisFindings } = await import('./redis-findings.ts')
  const flags = readGivenLayout(given)
  const connection = await connectToRedis(url)
  try {
    const assumed = assumedLayout(connection, flags)
    const layout = await readLayout(connection, flags).catch(() => assumed)
    return redisFindings(await readRedisFacts(connection, layout))
  } finally {
    connection.close()
  }
}

/** Looks PostgreSQL over. @throws the error of the connection */
async function examinePostgres({ given }: Invocation, { url }: StoreAddress): Promise<Finding[]> {
  const { endPool, openPool } = await loadPeer('pg', async () => import('../postgres-store.ts'))
  const { readSchemaName } = await import('../../postgres/options.ts')
  const { postgresFindings } = await import('./postgres-findings.ts')
  const schema = readSchemaName('--schema', textOf(given, 'schema'))
  const pool = openPool(url)
  try {
    return await postgresFindings(pool, schema)
  } finally {
    await endPool(pool)
  }
}

interface Examination {
  readonly findings: readonly Finding[]
  readonly isReachable: boolean
}

async function examineStore(invocation: Invocation, address: StoreAddress): Promise<Examination> {
  const place = placeOf(address)
  const examineIt = address.kind === 'redis' ? examineRedis : examinePostgres
  try {
    const findings = await examineIt(invocation, address)
    return { findings: [ok('store', `${place} answers`), ...findings], isReachable: true }
  } catch (error) {
    if (error instanceof TypeError) throw usageError(error.message)
    const failure = storeFailure(place, error)
    const isReachable = failure.exitCode !== unreachable('').exitCode
    const remedy = isReachable
      ? 'look at user name and password in the URL'
      : 'start it, or look at the address, the firewall and TLS (rediss:, sslmode)'
    return { findings: [fail('store', failure.message, remedy)], isReachable }
  }
}

const signs = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const

function report(findings: readonly Finding[], output: Output): void {
  const count = (status: Finding['status']) =>
    findings.filter((finding) => finding.status === status).length
  output.json({
    checks: findings.map(({ check, status, message, remedy }) => ({
      check,
      status,
      message,
      remedy: remedy ?? null,
    })),
    ok: count('ok'),
    warn: count('warn'),
    fail: count('fail'),
  })
  const width = Math.max(...findings.map(({ check }) => check.length))
  for (const { check, status, message, remedy } of findings) {
    output.line(`${signs[status]}  ${check.padEnd(width)}  ${message}`)
    if (remedy !== undefined) output.line(`      ${''.padEnd(width)}  remedy: ${remedy}`)
  }
  output.line(`${count('ok')} ok, ${count('warn')} warn, ${count('fail')} fail`)
}

/** Looks for everything that is wrong, and says what to do about it. `false` where something fails. */
export async function examine(invocation: Invocation): Promise<boolean> {
  const { given, environment, output } = invocation
  const address = findAddress(invocation)
  const issuer = textOf(given, 'issuer') ?? environment.issuer
  if (!address && issuer === undefined) {
    throw usageError(
      `nothing to look at: name the store by ${variables.redisUrl} or ${variables.postgresUrl}, the issuer by --issuer, or both`,
    )
  }
  if (address) assertFitting(given, address)
  const jwksUri = textOf(given, 'jwks-uri') ?? environment.jwksUri
  const store = address && (await examineStore(invocation, address))
  const findings = [
    ...(store?.findings ?? []),
    ...(issuer === undefined ? [] : await issuerFindings(issuer, jwksUri)),
  ]
  report(findings, output)
  if (store?.isReachable === false) throw unreachable('the store cannot be reached')
  return findings.every(({ status }) => status !== 'fail')
}
