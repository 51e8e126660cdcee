import type { AccessTokenClaims } from '../auth.ts'
import type { RevocationVerdict } from '../revocation/revocation.ts'

interface Question {
  /** Resolves when the store has answered, or failed. */
  readonly settled: Promise<void>
  /** The question after it, which is not sent yet. */
  next?: Promise<RevocationVerdict>
}

/**
 * Asks the store whether a client is kicked out. At most one question is under way for each client and second; requests that
 * come meanwhile share the next one. So a burst of one client costs few round trips, and each request has an answer to a
 * question that was sent after it came: no kick-out in between is missed.
 */
export class ClientChecks {
  readonly #check: (claims: AccessTokenClaims) => Promise<RevocationVerdict>
  readonly #questions = new Map<string, Question>()

  constructor(check: (claims: AccessTokenClaims) => Promise<RevocationVerdict>) {
    this.#check = check
  }

  /**
   * @param claims - of a token that is to be granted: its `jti` is new, so what counts is its client and its `iat`
   * @throws UnavailableError (rejects with it) when the store failed
   */
  async ask(claims: AccessTokenClaims): Promise<RevocationVerdict> {
    const name = JSON.stringify([claims.client_id, claims.iat])
    const question = this.#questions.get(name)
    if (!question) return this.#send(name, claims)
    question.next ??= question.settled.then(async () => this.#send(name, claims))
    return question.next
  }

  async #send(name: string, claims: AccessTokenClaims): Promise<RevocationVerdict> {
    const answer = this.#check(claims)
    const settled = answer.then(
      () => undefined,
      () => undefined,
    )
    const question: Question = { settled }
    this.#questions.set(name, question)
    void settled.then(() => {
      if (!question.next) this.#questions.delete(name)
    })
    return answer
  }
}
