import type {
  BusyEvent,
  ChaosEvent,
  FaultEvent,
  KickOutEvent,
  LifeEvent,
  RefreshEvent,
  RequestEvent,
  StreamEvent,
  TokenEvent,
} from './history.ts'

export interface CheckSettings {
  readonly maxStalenessMs: number
  readonly reuseGraceMs: number
}

export interface Violation {
  readonly claim: 'C1' | 'C2' | 'C3' | 'C4' | 'C5' | 'C6' | 'C7'
  readonly what: string
  /** The smallest part of the history that shows it. */
  readonly part: readonly ChaosEvent[]
}

/** How long after the last fault everything has to be well again. */
const recoveryMs = 5000
/** Every answer comes within this, outside of faults. */
const answerMs = 1000
/** What is lost by a failover is written again by those that saw it so long after all is well, at most. */
const rewriteMs = 3000
/** What two clocks of one machine, and whole seconds in `iat`, may make of one moment. */
const slackMs = 2000
/** A stream's end is seen this much later, at most. */
const endMs = 500

interface Span {
  readonly from: number
  readonly to: number
}

const overlaps = (span: Span, from: number, to: number): boolean =>
  span.from <= to && span.to >= from

const ofType = <Type extends ChaosEvent['type']>(
  history: readonly ChaosEvent[],
  type: Type,
): Extract<ChaosEvent, { type: Type }>[] =>
  history.filter((event): event is Extract<ChaosEvent, { type: Type }> => event.type === type)

/** Judges a history offline. A pure function of it. */
export function check(history: readonly ChaosEvent[], settings: CheckSettings): Violation[] {
  return new Checker(history, settings).run()
}

class Checker {
  readonly #settings: CheckSettings
  readonly #tokens: ReadonlyMap<string, TokenEvent>
  readonly #sessionStarts: ReadonlyMap<string, TokenEvent>
  readonly #requests: readonly RequestEvent[]
  readonly #streams: readonly StreamEvent[]
  readonly #kickOuts: ReadonlyMap<string, KickOutEvent[]>
  readonly #refreshes: ReadonlyMap<string, RefreshEvent[]>
  readonly #faults: readonly FaultEvent[]
  readonly #losses: readonly FaultEvent[]
  readonly #lives: readonly LifeEvent[]
  readonly #busy: readonly BusyEvent[]
  readonly #history: readonly ChaosEvent[]
  readonly #violations: Violation[] = []

  constructor(history: readonly ChaosEvent[], settings: CheckSettings) {
    this.#history = history
    this.#settings = settings
    const tokens = ofType(history, 'token')
    this.#tokens = new Map(tokens.map((token) => [token.id, token]))
    this.#sessionStarts = new Map(
      tokens.filter(({ by }) => by === 'login').map((token) => [token.session, token]),
    )
    this.#requests = ofType(history, 'request')
    this.#streams = ofType(history, 'stream')
    this.#kickOuts = groupBy(ofType(history, 'kick-out'), ({ level, target }) =>
      keyOf(level, target),
    )
    this.#refreshes = groupBy(ofType(history, 'refresh'), ({ session }) => session)
    this.#faults = ofType(history, 'fault').toSorted((a, b) => a.from - b.from)
    this.#losses = this.#faults.filter(({ loss }) => loss !== undefined)
    // A life is noted when it begins, and once more when it ends.
    const lives = ofType(history, 'life').map(
      (life) => [`${life.name} ${life.from}`, life] as const,
    )
    this.#lives = [...new Map(lives).values()]
    this.#busy = ofType(history, 'busy')
  }

  run(): Violation[] {
    for (const request of this.#requests) {
      this.#checkAdmission(request)
      this.#checkRefusal(request)
      this.#checkService(request)
    }
    for (const refreshes of this.#refreshes.values()) this.#checkLineage(refreshes)
    for (const recovery of ofType(this.#history, 'recovery')) {
      const { from, to, isLive } = recovery
      if (isLive && to - from <= recoveryMs) continue
      if (this.#isBusy(from, to)) continue
      this.#report('C6', `not all servers were live ${recoveryMs} ms after the last fault`, [
        ...this.#faultsDuring(from - 1, from),
        recovery,
      ])
    }
    for (const stream of this.#streams) this.#checkStream(stream)
    return this.#violations
  }

  #report(claim: Violation['claim'], what: string, part: readonly ChaosEvent[]): void {
    this.#violations.push({ claim, what, part: part.toSorted((a, b) => momentOf(a) - momentOf(b)) })
  }

  /** Kick-outs that name this token, its session, user or client, or everyone. */
  #kickOutsOf(token: TokenEvent): KickOutEvent[] {
    return [
      keyOf('token', token.id),
      keyOf('session', token.session),
      keyOf('subject', token.subject),
      keyOf('client', token.client),
      keyOf('everyone', ''),
    ].flatMap((key) => this.#kickOuts.get(key) ?? [])
  }

  /** Whether a token has to be out: it was there, or its session was, before the kick-out was asked for. */
  #hits(kickOut: KickOutEvent, token: TokenEvent): boolean {
    if (kickOut.level === 'token' || kickOut.level === 'session') return true
    if (token.to < kickOut.from) return true
    const start = this.#sessionStarts.get(token.session)
    return token.by === 'refresh' && start !== undefined && start.to < kickOut.from
  }

  /** C1 and C3. */
  #checkAdmission(request: RequestEvent): void {
    const token = this.#tokens.get(request.token)
    if (request.status !== 200 || !token) return
    for (const kickOut of this.#kickOutsOf(token)) {
      if (!kickOut.isAcknowledged || !this.#hits(kickOut, token)) continue
      if (kickOut.to + this.#settings.maxStalenessMs >= request.from) continue
      if (this.#isExcused(kickOut.to, request.from)) continue
      const lateMs = Math.round(request.from - kickOut.to)
      const isMintedLater = token.from > kickOut.to
      this.#report(
        isMintedLater ? 'C3' : 'C1',
        `${request.server} let in a token ${lateMs} ms after its ${kickOut.level} was kicked out` +
          (isMintedLater ? ', made by a refresh after that' : ''),
        [token, kickOut, request, ...this.#faultsDuring(kickOut.from, request.to)],
      )
      return
    }
  }

  /**
   * Whether the README excuses that a kick-out of this moment is not known: the log lost it, and each process that had seen it
   * ended or was disturbed before it could write it again; or a failover lost it, and the others are still doing so.
   */
  #isExcused(acknowledgedAt: number, at: number): boolean {
    return this.#losses.some((loss) => {
      if (loss.to < acknowledgedAt || loss.from > at) return false
      const wellAt = this.#wellAfter(loss.to)
      if (loss.loss === 'suffix' && at <= wellAt + rewriteMs) return true
      if (this.#isBusy(loss.to, wellAt + rewriteMs) && at <= wellAt + 2 * rewriteMs) return true
      return !this.#lives.some(
        ({ name, from, to = Number.POSITIVE_INFINITY }) =>
          from < acknowledgedAt &&
          to > wellAt + rewriteMs &&
          !this.#faults.some(
            (fault) =>
              fault.target === name && overlaps(fault, acknowledgedAt, loss.to + rewriteMs),
          ),
      )
    })
  }

  /** When the faults that hang together with a moment are over. */
  #wellAfter(moment: number): number {
    let end = moment
    for (const fault of this.#faults) {
      if (fault.from <= end && fault.to > end) end = fault.to
    }
    return end
  }

  /** C4: our failure never looks like the caller's, and a user who was not kicked out gets no 401. */
  #checkRefusal(request: RequestEvent): void {
    const { status, hasChallenge, hasRetryAfter } = request
    if (status === 503 && (hasChallenge || !hasRetryAfter)) {
      this.#report('C4', 'a 503 with a challenge, or without Retry-After', [request])
    }
    const token = this.#tokens.get(request.token)
    if (status !== 401 || !token || !this.#isInnocent(token, request)) return
    this.#report('C4', 'a 401 for a user who was never kicked out', [
      token,
      request,
      ...this.#faultsDuring(token.from, request.to),
    ])
  }

  /** Whether nothing explains a 401: no kick-out, acknowledged or not, no reuse, no clock, no expiry. */
  #isInnocent(token: TokenEvent, request: RequestEvent): boolean {
    if (token.isMisdated || token.expiresAt < request.to + slackMs) return false
    if (
      this.#kickOutsOf(token).some(
        (kickOut) => token.from <= kickOut.to + slackMs && kickOut.from <= request.to,
      )
    )
      return false
    if (this.#hasThief(token.session)) return false
    return !this.#faults.some(
      (fault) =>
        fault.isClock === true &&
        (fault.target === 'store' || fault.target === request.server) &&
        fault.from <= request.to &&
        fault.to + recoveryMs >= token.from,
    )
  }

  /** Whether a superseded refresh token was used: that may end the session, whatever the answer was. */
  #hasThief(session: string): boolean {
    const refreshes = this.#refreshes.get(session) ?? []
    const superseded = new Set(
      refreshes.filter(({ returned }) => returned !== undefined).map(({ presented }) => presented),
    )
    return refreshes.some(
      ({ status, presented }) => status === 400 || (status !== 200 && superseded.has(presented)),
    )
  }

  /** C5: outside of faults the innocent are served, and every answer is there within a second. */
  #checkService(request: RequestEvent): void {
    const { from, to, status } = request
    const isCalm = !this.#faults.some((fault) => overlaps(fault, from - recoveryMs, to))
    if (!isCalm || this.#isBusy(from - recoveryMs, to) || this.#isStarting(request)) return
    if (to - from > answerMs) {
      this.#report('C5', `an answer took ${Math.round(to - from)} ms outside of faults`, [request])
    }
    const token = this.#tokens.get(request.token)
    if (status === 200 || status === 401 || !token) return
    this.#report('C5', `an answer outside of faults was ${status}`, [token, request])
  }

  #isStarting({ server, from }: RequestEvent): boolean {
    return !this.#lives.some(
      (life) =>
        life.name === server &&
        life.from + recoveryMs < from &&
        (life.to ?? Number.POSITIVE_INFINITY) > from,
    )
  }

  /** C2: each refresh token has one successor, and one that was superseded for long ends the session. */
  #checkLineage(refreshes: readonly RefreshEvent[]): void {
    const successors = new Map<number, RefreshEvent>()
    for (const refresh of refreshes.toSorted((a, b) => a.to - b.to)) {
      if (refresh.returned === undefined) continue
      const known = successors.get(refresh.presented)
      if (known === undefined) successors.set(refresh.presented, refresh)
      else if (known.returned !== refresh.returned)
        this.#report('C2', 'one refresh token has two successors', [known, refresh])
    }
    for (const refresh of refreshes) {
      const supersededBy = this.#supersession(refresh, successors)
      if (!supersededBy) continue
      if (
        this.#losses.some(({ from, to }) => to >= supersededBy.from - slackMs && from <= refresh.to)
      )
        continue
      if (refresh.status === 200) {
        this.#report('C2', 'a superseded refresh token was answered', [supersededBy, refresh])
      } else if (refresh.status !== 400) continue
      else if (refresh.reason === 'ended')
        this.#checkWasOver(refresh, supersededBy, refreshes, successors)
      else this.#checkEnded(refresh, supersededBy, refreshes)
    }
  }

  /** The session was over already: then a kick-out, or an earlier use of a superseded token, had ended it. */
  #checkWasOver(
    reuse: RefreshEvent,
    supersededBy: RefreshEvent,
    refreshes: readonly RefreshEvent[],
    successors: ReadonlyMap<number, RefreshEvent>,
  ): void {
    const start = this.#sessionStarts.get(reuse.session)
    const wasKickedOut = start && this.#kickOutsOf(start).some(({ from }) => from <= reuse.to)
    const wasReused = refreshes.some(
      (other) =>
        other !== reuse &&
        other.status !== 200 &&
        other.from <= reuse.to &&
        this.#supersession(other, successors),
    )
    if (wasKickedOut || wasReused) return
    this.#report('C2', 'a session was over that nothing had ended', [
      supersededBy,
      reuse,
      ...this.#faultsDuring(supersededBy.from - recoveryMs, reuse.to),
    ])
  }

  /** What makes a token one that must end the session: its successor was used, or the grace is over. */
  #supersession(
    { presented, from }: RefreshEvent,
    successors: ReadonlyMap<number, RefreshEvent>,
  ): RefreshEvent | undefined {
    const next = successors.get(presented)
    if (!next) return undefined
    const used = successors.get(next.returned!)
    if (used && used.to < from) return used
    return next.to + this.#settings.reuseGraceMs + slackMs < from ? next : undefined
  }

  #checkEnded(
    reuse: RefreshEvent,
    supersededBy: RefreshEvent,
    refreshes: readonly RefreshEvent[],
  ): void {
    const later = refreshes.find(({ from, status }) => status === 200 && from > reuse.to)
    const isLost = (at: number): boolean =>
      this.#losses.some(({ from, to }) => to >= reuse.from - slackMs && from <= at)
    if (later && !isLost(later.from)) {
      this.#report('C2', 'a session went on after a superseded refresh token was used', [
        supersededBy,
        reuse,
        later,
      ])
    }
    const limit = reuse.to + this.#settings.maxStalenessMs
    const admitted = this.#requests.find(
      ({ token, from, status }) =>
        status === 200 && from > limit && this.#tokens.get(token)?.session === reuse.session,
    )
    if (admitted && !isLost(admitted.from)) {
      this.#report('C2', 'a token of a session that theft has ended was let in', [
        supersededBy,
        reuse,
        admitted,
        ...this.#faultsDuring(reuse.from, admitted.to),
      ])
    }
  }

  /** C7: a stream of a user who was kicked out ends as soon as its server can know. */
  #checkStream(stream: StreamEvent): void {
    const token = this.#tokens.get(stream.token)
    if (!token) return
    for (const kickOut of this.#kickOutsOf(token)) {
      if (!kickOut.isAcknowledged || !this.#hits(kickOut, token)) continue
      if (kickOut.to < stream.from) continue
      // A server that is cut off, or stands still, learns of it when that is over.
      const knownAt = this.#wellAfter(kickOut.to)
      const limit = knownAt + this.#settings.maxStalenessMs + endMs
      const end = stream.to ?? Number.POSITIVE_INFINITY
      if (end <= limit || this.#isExcused(kickOut.to, end)) continue
      if (this.#isBusy(kickOut.to, limit) || this.#lastMoment() < limit) continue
      this.#report('C7', `a stream was open after its ${kickOut.level} was kicked out`, [
        token,
        stream,
        kickOut,
        ...this.#faultsDuring(kickOut.from, limit),
      ])
      return
    }
  }

  #lastMoment(): number {
    const last = this.#history.at(-1)
    return last ? momentOf(last) : 0
  }

  #isBusy(from: number, to: number): boolean {
    return this.#busy.some((busy) => overlaps(busy, from, to))
  }

  #faultsDuring(from: number, to: number): FaultEvent[] {
    return this.#faults.filter((fault) => overlaps(fault, from, to))
  }
}

function keyOf(level: KickOutEvent['level'], target: string): string {
  return `${level} ${target}`
}

function momentOf(event: ChaosEvent): number {
  return event.type === 'kick-out' || event.type === 'token' ? event.to : event.from
}

function groupBy<Item>(items: readonly Item[], key: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group) group.push(item)
    else groups.set(key(item), [item])
  }
  return groups
}
