import { LRUCache } from 'lru-cache'
import { UnavailableError } from '../errors.ts'
import type { IntrospectedTrust } from './introspection/answer.ts'
import { KeySet, type KeySetDeps } from './keys/key-set.ts'
import type { Trust } from './token/verifier.ts'
import type { TrustSettings, TrustSource } from './trusts.ts'

/** How many issuers are remembered that a function has decided about, the refused ones included. */
const maxResolved = 1000

/** What is remembered of an issuer: `undefined` for one that is not trusted. */
interface Resolved {
  readonly trust: Trust | undefined
}

function isIntrospected(trust: Trust): trust is IntrospectedTrust {
  return trust.introspection !== undefined
}

/** Issuers with one key address share one key set. */
function addressOf({ keySet: { source, issuer } }: TrustSettings): string {
  return source.kind === 'address' ? `address ${source.url.href}` : `issuer ${issuer}`
}

/** The issuers that a guard trusts, with their keys. */
export class IssuerDirectory {
  readonly #source: TrustSource
  readonly #deps: KeySetDeps
  readonly #listed: ReadonlyMap<string, Trust>
  readonly #resolved = new LRUCache<string, Resolved>({
    max: maxResolved,
    dispose: ({ trust }) => this.#release(trust),
  })
  readonly #asked = new Map<string, Promise<Trust | undefined>>()
  readonly #keySets = new Map<string, { readonly keySet: KeySet; users: number }>()

  constructor(source: TrustSource, deps: KeySetDeps) {
    this.#source = source
    this.#deps = deps
    const settings = source.kind === 'list' ? source.trusts : []
    this.#listed = new Map(settings.map((trust) => [trust.keySet.issuer, this.#toTrust(trust)]))
  }

  /** The issuer of a name, if it is trusted: at once where that is known. */
  get(iss: string): Trust | undefined | Promise<Trust | undefined> {
    const listed = this.#listed.get(iss)
    if (listed || this.#source.kind === 'list') return listed
    const known = this.#resolved.get(iss)
    return known ? known.trust : this.#ask(iss)
  }

  /** Whether an issuer is trusted as far as that is known without asking. */
  trusts(iss: string): boolean {
    return this.#listed.has(iss) || this.#resolved.peek(iss)?.trust !== undefined
  }

  /** The one that is asked about tokens, where there is one. */
  get introspected(): IntrospectedTrust | undefined {
    return [...this.#listed.values()].find(isIntrospected)
  }

  /** Whether one that is not trusted differs from a trusted one by its last slash only. */
  nearest(iss: unknown): string | undefined {
    if (typeof iss !== 'string') return undefined
    const other = iss.endsWith('/') ? iss.slice(0, -1) : `${iss}/`
    return this.#listed.has(other) ? other : undefined
  }

  async ready(): Promise<void> {
    const trusts = [...this.#listed.values()]
    // Whose JWTs are introspected too may have no keys at all.
    const verified = trusts.filter(({ introspection }) => introspection?.jwt !== true)
    await Promise.all(verified.map(async ({ keySet }) => keySet.ready()))
  }

  close(): void {
    for (const { keySet } of this.#listed.values()) keySet.close()
    for (const { keySet } of this.#keySets.values()) keySet.close()
  }

  /** Once per name, however many tokens name it. A function that fails is asked again by the next token. */
  async #ask(iss: string): Promise<Trust | undefined> {
    const asked = this.#asked.get(iss)
    if (asked) return asked
    const asking = this.#resolve(iss).finally(() => this.#asked.delete(iss))
    this.#asked.set(iss, asking)
    return asking
  }

  async #resolve(iss: string): Promise<Trust | undefined> {
    if (this.#source.kind !== 'resolver') return undefined
    let settings
    try {
      settings = await this.#source.resolve(iss)
    } catch (cause) {
      throw new UnavailableError('jwks', 'The option "issuer" of requireAuth failed', { cause })
    }
    const trust = settings && this.#toSharedTrust(settings)
    this.#resolved.set(iss, { trust })
    return trust
  }

  #toTrust({ keySet, ...settings }: TrustSettings): Trust {
    return { ...settings, issuer: keySet.issuer, keySet: new KeySet(keySet, this.#deps) }
  }

  #toSharedTrust(settings: TrustSettings): Trust {
    const address = addressOf(settings)
    let shared = this.#keySets.get(address)
    if (!shared) {
      shared = { keySet: new KeySet(settings.keySet, this.#deps), users: 0 }
      this.#keySets.set(address, shared)
    }
    shared.users++
    const { keySet, ...trust } = settings
    return { ...trust, issuer: keySet.issuer, keySet: shared.keySet }
  }

  /** The keys of an issuer that was forgotten are fetched no more, unless another issuer has the same. */
  #release(trust: Trust | undefined): void {
    for (const [address, shared] of this.#keySets) {
      if (shared.keySet !== trust?.keySet || --shared.users > 0) continue
      shared.keySet.close()
      this.#keySets.delete(address)
    }
  }
}
