import type { AccessTokenClaims } from '../auth.ts'
import type { GuardContext } from '../guard/request-auth.ts'

/** How often a guard with open connections is asked whether it still sees kick-outs, milliseconds. */
const lookEveryMs = 500

/** An open connection, as the watch sees it. */
export interface Watched {
  readonly auth: { readonly payload: AccessTokenClaims }
  end(cause: 'stale'): void
}

/**
 * Ends the open connections of one guard when it can no longer see kick-outs and would refuse their requests. The loss of
 * freshness is a silence that no event reports, so the guard is asked. One connection stands for all as long as it may stay.
 */
class StaleWatch {
  readonly #context: GuardContext
  readonly #open = new Set<Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(context: GuardContext) {
    this.#context = context
  }

  add(connection: Watched): void {
    this.#open.add(connection)
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref()
  }

  delete(connection: Watched): void {
    this.#open.delete(connection)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const [sample] = this.#open
    if (!sample || this.#mayStay(sample)) return
    for (const connection of [...this.#open]) {
      if (!this.#mayStay(connection)) connection.end('stale')
    }
  }

  #mayStay({ auth }: Watched): boolean {
    return this.#context.vouches(auth.payload)
  }
}

const watches = new WeakMap<GuardContext, StaleWatch>()

/** The watch of a guard; one, however many servers it guards. */
export function staleWatchOf(context: GuardContext): StaleWatch {
  let watch = watches.get(context)
  if (!watch) {
    watch = new StaleWatch(context)
    watches.set(context, watch)
  }
  return watch
}
