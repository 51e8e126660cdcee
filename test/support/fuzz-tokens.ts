import { createMemoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { FakeClock } from './fake-clock.ts'
import { factsOf, type Guarded, makeGuarded } from './guarded.ts'
import { claimsAt, issuer, makeSigner, type Signer, type SigningAlgorithm } from './make-token.ts'
import { mutateToken, twinOf } from './mutate-token.ts'
import { Random } from './random.ts'

export interface FuzzOptions {
  readonly seed: number
  readonly count: number
  readonly algorithms?: readonly SigningAlgorithm[]
  onProgress?(done: number): void
}

export interface FuzzReport {
  readonly tried: number
  /** Mutations that changed nothing, or made the other spelling of an ECDSA signature. */
  readonly same: number
  /** What must not be: each with the seed, so that it can be repeated. Tokens are of keys made for this run. */
  readonly violations: string[]
}

const progressEvery = 10_000

/**
 * Mutates good tokens and looks that a guard takes none of them: only the very token, or the same with (r, n−s), and those
 * are out as soon as the token is kicked out. Everything else is 400 or 401.
 */
export async function fuzzTokens(options: FuzzOptions): Promise<FuzzReport> {
  const { seed, count, algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'] } = options
  const clock = new FakeClock()
  const revocations = createMemoryRevocations({ issuer }, { clock })
  const signers = algorithms.map((algorithm) => makeSigner(algorithm))
  const jwks = { keys: signers.map((signer) => signer.publicJwk) }
  const guarded = makeGuarded({ jwks, revocations }, { clock })
  const random = new Random(seed)
  const victims = signers.map((signer) => victimOf(signer, clock, 'victim'))
  const donors = signers.map((signer) => victimOf(signer, clock, 'donor'))
  const survivors: string[] = []
  const violations: string[] = []
  let same = 0
  for (let done = 0; done < count; done++) {
    const index = done % victims.length
    const victim = victims[index] ?? ''
    const mutated = mutateToken(victim, random, random.pick(donors))
    const expected = isSpellingOf(mutated, [...victims, ...donors])
    const answer = await answerTo(guarded, mutated)
    if (expected) {
      same++
      survivors.push(mutated)
    }
    if (answer !== (expected ? 'accepted' : 'refused')) {
      violations.push(`seed ${seed}, mutation ${done}: ${answer}: ${JSON.stringify(mutated)}`)
    }
    if ((done + 1) % progressEvery === 0) options.onProgress?.(done + 1)
  }
  await revocations.kickOut({ everyone: true })
  for (const token of new Set(survivors)) {
    const answer = await answerTo(guarded, token)
    if (answer !== 'refused') violations.push(`seed ${seed}: alive after its kick-out: ${token}`)
  }
  if (guarded.fetched.length > 0) violations.push('it asked the network')
  return { tried: count, same, violations }
}

function victimOf(signer: Signer, clock: FakeClock, name: string): string {
  return signer.sign(claimsAt(clock.seconds, { jti: `${signer.alg}-${name}`, sub: name }))
}

function isSpellingOf(mutated: string, tokens: readonly string[]): boolean {
  return tokens.some((token) => token === mutated || twinOf(token) === mutated)
}

async function answerTo(guarded: Guarded, token: string): Promise<string> {
  const { error, auth } = await guarded.ask(token)
  if (error === undefined) return auth ? 'accepted' : 'let through without req.auth'
  const { status } = factsOf(error)
  // An empty credential is no token; everything else is malformed or refused.
  return status === 401 || status === 400
    ? 'refused'
    : `answered ${String(status)} (${error instanceof Error ? error.message : typeof error})`
}
