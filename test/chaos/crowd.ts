import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { HttpClient } from '../drills/support/http.ts'
import type { People } from '../drills/support/people.ts'
import type { Random } from '../support/random.ts'
import type { Member } from './fleet.ts'
import type { History, KickOutLevel, TokenEvent } from './history.ts'

const tickMs = 20
/** No more requests than this wait for one process, or it alone would take them all while it stands still. */
const maxWaiting = 30
const timeoutMs = 12_000
/** Tokens that are still tried out: most of them were kicked out. */
const remembered = 150
const maxStreams = 12

interface Session {
  readonly id: string
  readonly user: User
  /** Refresh tokens by their place. */
  readonly refreshTokens: string[]
  accessToken: string
}

interface User {
  readonly subject: string
  readonly client: string
  /** Never kicked out on purpose. */
  readonly isInnocent: boolean
  session: Session | undefined
}

interface Held {
  readonly event: TokenEvent
  readonly jwt: string
}

export interface CrowdSettings {
  readonly history: History
  readonly random: Random
  readonly people: People
  readonly members: () => readonly Member[]
  /** Whether the clock of a process, or of the store, was wrong a moment ago. */
  readonly isClockOff: (member: Member) => boolean
  readonly perSecond: number
  readonly maxStalenessMs: number
}

/** Those who log in, refresh, call, listen and steal, and the admin who kicks them out. */
export class Crowd {
  readonly #settings: CrowdSettings
  readonly #client = new HttpClient(512)
  readonly #users: User[] = []
  readonly #held: Held[] = []
  readonly #waiting = new Map<string, number>()
  readonly #openStreams = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #made = 0
  #underWay = 0

  constructor(settings: CrowdSettings) {
    this.#settings = settings
    for (let index = 0; index < 6; index++) this.#users.push(this.#newUser(true))
    for (let index = 0; index < 18; index++) this.#users.push(this.#newUser(false))
  }

  start(): void {
    let last = performance.now()
    let owed = 0
    this.#timer = setInterval(() => {
      const now = performance.now()
      owed = Math.min(owed + ((now - last) * this.#settings.perSecond) / 1000, 10)
      last = now
      for (; owed >= 1; owed--) void this.#act()
    }, tickMs)
  }

  /** Ends all streams, and waits until what is under way is answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    for (const end of this.#openStreams) end()
    while (this.#underWay > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    this.#client.close()
  }

  #newUser(isInnocent: boolean): User {
    const number = this.#made++
    return { subject: `u-${number}`, client: `c-${number}`, isInnocent, session: undefined }
  }

  async #act(): Promise<void> {
    const { random } = this.#settings
    this.#underWay++
    try {
      const user = random.pick(this.#users)
      const { session } = user
      const dice = random.next()
      if (!session) await this.#login(user)
      else if (dice < 0.35) await this.#call(this.#tokenOf(session))
      else if (dice < 0.72) await this.#call(this.#anyToken())
      else if (dice < 0.8) await this.#refresh(session, session.refreshTokens.length - 1)
      else if (dice < 0.83) await this.#refreshTwice(session)
      else if (dice < 0.86) await this.#steal(user, session)
      else if (dice < 0.88) await this.#login(user)
      else if (dice < 0.92) this.#listen(this.#tokenOf(session))
      else if (!user.isInnocent) await this.#kickOut(user, session)
    } finally {
      this.#underWay--
    }
  }

  #tokenOf(session: Session): Held | undefined {
    return this.#held.findLast(({ jwt }) => jwt === session.accessToken)
  }

  /** The younger, the likelier: what was kicked out a moment ago is what may be let in by mistake. */
  #anyToken(): Held | undefined {
    const { random } = this.#settings
    return this.#held.at(-1 - Math.floor(random.next() ** 1.5 * this.#held.length))
  }

  #pick(role: Member['role']): Member | undefined {
    const all = this.#settings.members().filter((member) => member.role === role)
    const member = this.#settings.random.pick(all)
    const isUsable = member.port !== 0 && (this.#waiting.get(member.name) ?? 0) < maxWaiting
    return isUsable ? member : undefined
  }

  async #waitFor<Result>(member: Member, answer: Promise<Result>): Promise<Result> {
    const count = (change: number): void => {
      this.#waiting.set(member.name, (this.#waiting.get(member.name) ?? 0) + change)
    }
    count(1)
    try {
      return await answer
    } finally {
      count(-1)
    }
  }

  /** Tries a token everywhere as soon as it may be let in nowhere. */
  async #probe(held: Held): Promise<void> {
    const { random, members, maxStalenessMs } = this.#settings
    this.#underWay++
    await sleep(maxStalenessMs + 5 + random.below(900))
    const all = members().filter(({ role, port }) => role === 'api' && port !== 0)
    await Promise.all(all.map(async (member) => this.#call(held, member)))
    this.#underWay--
  }

  async #call(held: Held | undefined, member = this.#pick('api')): Promise<void> {
    if (!held || !member) return
    const answer = await this.#waitFor(
      member,
      this.#client.send(member.port, { token: held.jwt, timeoutMs }),
    )
    this.#settings.history.add({
      type: 'request',
      token: held.event.id,
      server: member.name,
      from: answer.startedAt,
      to: answer.endedAt,
      status: answer.status,
      hasChallenge: answer.challenge !== undefined,
      hasRetryAfter: answer.retryAfter !== undefined,
    })
  }

  async #login(user: User): Promise<void> {
    const member = this.#pick('login')
    if (!member) return
    const { subject, client } = user
    const answer = await this.#waitFor(
      member,
      this.#client.send(member.port, {
        method: 'POST',
        path: '/login',
        json: { subject, clientId: client },
        timeoutMs,
      }),
    )
    if (answer.status !== 200) return
    const tokens = JSON.parse(answer.body) as Tokens
    const session: Session = {
      id: tokens.session_id!,
      user,
      refreshTokens: [tokens.refresh_token],
      accessToken: tokens.access_token,
    }
    this.#hold(session, tokens, 'login', member, answer)
    user.session = session
  }

  #hold(
    session: Session,
    tokens: Tokens,
    by: TokenEvent['by'],
    member: Member,
    { startedAt, endedAt }: { startedAt: number; endedAt: number },
  ): void {
    const { jti } = JSON.parse(
      Buffer.from(tokens.access_token.split('.')[1]!, 'base64url').toString(),
    ) as { jti: string }
    const event: TokenEvent = {
      type: 'token',
      id: jti,
      session: session.id,
      subject: session.user.subject,
      client: session.user.client,
      by,
      from: startedAt,
      to: endedAt,
      expiresAt: startedAt + tokens.expires_in * 1000,
      isMisdated: this.#settings.isClockOff(member),
    }
    this.#settings.history.add(event)
    this.#held.push({ event, jwt: tokens.access_token })
    if (this.#held.length > remembered) this.#held.shift()
  }

  async #refresh(session: Session, place: number): Promise<void> {
    const member = this.#pick('login')
    const presented = session.refreshTokens[place]
    if (!member || presented === undefined) return
    const answer = await this.#waitFor(
      member,
      this.#client.send(member.port, {
        method: 'POST',
        path: '/token',
        form: { grant_type: 'refresh_token', refresh_token: presented },
        timeoutMs,
      }),
    )
    const tokens = answer.status === 200 ? (JSON.parse(answer.body) as Tokens) : undefined
    const reason =
      answer.status === 400 ? (JSON.parse(answer.body) as { reason?: string }).reason : undefined
    const { refreshTokens } = session
    let returned: number | undefined
    if (tokens) {
      if (!refreshTokens.includes(tokens.refresh_token)) refreshTokens.push(tokens.refresh_token)
      returned = refreshTokens.indexOf(tokens.refresh_token)
      this.#hold(session, tokens, 'refresh', member, answer)
      session.accessToken = tokens.access_token
    }
    this.#settings.history.add({
      type: 'refresh',
      session: session.id,
      presented: place,
      returned,
      from: answer.startedAt,
      to: answer.endedAt,
      status: answer.status,
      ...(reason !== undefined && { reason }),
    })
    if (answer.status === 400 && session.user.session === session) session.user.session = undefined
  }

  /** Two tabs. */
  async #refreshTwice(session: Session): Promise<void> {
    const place = session.refreshTokens.length - 1
    await Promise.all([this.#refresh(session, place), this.#refresh(session, place)])
  }

  /** A thief uses an ancestor that was copied. A user whose token is stolen is not one of the innocent. */
  async #steal(user: User, session: Session): Promise<void> {
    const count = session.refreshTokens.length
    if (user.isInnocent) return
    if (count < 3) {
      await this.#refresh(session, count - 1)
      return
    }
    const { random } = this.#settings
    await this.#refresh(session, random.chance(0.6) ? count - 3 : random.below(count - 1))
  }

  #listen(held: Held | undefined): void {
    const member = this.#pick('api')
    if (!held || !member || this.#openStreams.size >= maxStreams) return
    const { history } = this.#settings
    const from = performance.now()
    const req = request({
      host: '127.0.0.1',
      port: member.port,
      path: '/stream',
      headers: { authorization: `Bearer ${held.jwt}` },
      agent: false,
    })
    let hasBegun = false
    let isOver = false
    const finish = (isOurs: boolean): void => {
      if (isOver) return
      isOver = true
      this.#openStreams.delete(leave)
      const { name: server } = member
      const to = performance.now()
      // A stream that we end ourselves says nothing about what the server would have done later.
      if (hasBegun) history.add({ type: 'stream', token: held.event.id, server, from, to })
      if (isOurs) req.destroy()
    }
    const leave = (): void => finish(true)
    this.#openStreams.add(leave)
    setTimeout(leave, 5000 + this.#settings.random.below(15_000)).unref()
    req.on('response', (res) => {
      hasBegun = res.statusCode === 200
      res.resume()
      res.on('close', () => finish(false))
    })
    req.on('error', () => finish(false))
    req.on('close', () => finish(false))
    req.end()
  }

  async #kickOut(user: User, session: Session): Promise<void> {
    const member = this.#pick('login')
    const held = this.#tokenOf(session)
    if (!member || !held) return
    const { random, people, history } = this.#settings
    const dice = random.next()
    const [level, target, json] = ((): [KickOutLevel, string, object] => {
      if (dice < 0.2) return ['token', held.event.id, { token: { jti: held.event.id } }]
      if (dice < 0.4) return ['session', session.id, { session: session.id }]
      if (dice < 0.85) return ['subject', user.subject, { subject: user.subject }]
      if (dice < 0.995) return ['client', user.client, { client: user.client }]
      return ['everyone', '', { everyone: true }]
    })()
    const from = performance.now()
    const answer = await this.#waitFor(
      member,
      this.#client.send(member.port, {
        method: 'POST',
        path: random.chance(0.4) ? '/admin/kick-outs' : '/kick-out',
        token: people.admin(),
        json,
        timeoutMs,
      }),
    )
    const isAcknowledged = answer.status === 200
    history.add({ type: 'kick-out', level, target, from, to: answer.endedAt, isAcknowledged })
    if (isAcknowledged) void this.#probe(held)
    // A user who was kicked out comes back as another user, so that users stay few and their tokens young.
    if (level === 'subject' || level === 'client') {
      this.#users.splice(this.#users.indexOf(user), 1, this.#newUser(false))
    } else if (level === 'session') user.session = undefined
  }
}

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id?: string
  readonly expires_in: number
}
