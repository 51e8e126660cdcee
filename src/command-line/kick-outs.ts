import { revocationLevels } from '../revocation/revocation.ts'
import type { KickOutPage, KickOutQuery, KickOutRecord } from '../revocation/revocations.ts'
import { type Given, textOf, wholeNumberOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { usageError } from './failure.ts'
import { readId } from './kick-out.ts'
import { momentText, type Output } from './output.ts'
import { withStore } from './store.ts'

const defaultLimit = 50
const maxLimit = 1000

function readQuery(given: Given): KickOutQuery {
  const levelName = textOf(given, 'level')
  const level = revocationLevels.find((known) => known === levelName)
  if (levelName !== undefined && !level) {
    throw usageError(`--level must be one of ${revocationLevels.join(', ')}`)
  }
  const before = textOf(given, 'before')
  // `*` means every kick-out that names an author.
  const by = given.by === '*' ? '*' : readId(given, 'by')
  const target = readId(given, 'target')
  const issuer = readId(given, 'issuer')
  return {
    limit: wholeNumberOf(given, 'limit', { min: 1, max: maxLimit }) ?? defaultLimit,
    ...(before !== undefined && { before }),
    ...(by !== undefined && { by }),
    ...(level && { level }),
    ...(target !== undefined && { target }),
    ...(issuer !== undefined && { issuers: [issuer] }),
  }
}

function authorText(by: KickOutRecord['by']): string {
  if (by === undefined) return ''
  return typeof by === 'string' ? by : (by.subject ?? by.client)
}

function report({ kickOuts, next }: KickOutPage, output: Output): void {
  output.json({
    kick_outs: kickOuts.map(({ id, at, by, issuer, level, target, reason }) => ({
      id,
      at,
      by: by ?? null,
      issuer,
      level,
      target,
      reason: reason ?? null,
    })),
    next: next ?? null,
  })
  if (kickOuts.length === 0) {
    output.line('no kick-out is kept that fits')
    return
  }
  const rows = kickOuts.map(({ id, at, by, issuer, level, target, reason }) => [
    momentText(at),
    level,
    target,
    issuer,
    authorText(by),
    reason ?? '',
    id,
  ])
  output.table([['AT', 'LEVEL', 'TARGET', 'ISSUER', 'BY', 'REASON', 'ID'], ...rows])
  if (next !== undefined) output.line(`more: --before ${next}`)
}

/** Lists kick-outs, the newest first. */
export async function listKickOuts(invocation: Invocation): Promise<boolean> {
  const query = readQuery(invocation.given)
  return withStore(invocation, async ({ revocations }) => {
    report(await revocations.listKickOuts(query), invocation.output)
    return true
  })
}
