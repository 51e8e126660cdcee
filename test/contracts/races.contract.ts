import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { SessionStore } from '../../src/issuer/sessions/session-store.ts'
import type { Answer } from '../support/http-client.ts'
import type { TokenResponse } from '../../src/issuer/index.ts'
import { claimsOf, createKit, type Kit } from '../support/issuer-kit.ts'
import type { FakeClock } from '../support/fake-clock.ts'

export interface RacesSource {
  /** A store of its own for each interleaving; closing it closes whatever belongs to it. */
  create(): Promise<{ store: SessionStore; clock: FakeClock }>
  /** How many interleavings are tried at most, where each takes long. */
  limit?: number
}

type Stage = 'before' | 'after'

/**
 * A store whose calls wait at gates: before they reach the store, and before their answer reaches the caller. What the
 * gates let through, in which order, is an interleaving.
 */
class GatedStore implements SessionStore {
  readonly retentionSeconds: number
  readonly #store: SessionStore
  readonly #waiting: { name: string; open: () => void }[] = []
  gated = false

  constructor(store: SessionStore) {
    this.#store = store
    this.retentionSeconds = store.retentionSeconds
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** By name, so that an index means the same in each run, in whatever order they came. */
  open(index: number): void {
    this.#waiting.sort((a, b) => a.name.localeCompare(b.name))
    for (const { open } of this.#waiting.splice(index, 1)) open()
  }

  async #pass(call: string, stage: Stage): Promise<void> {
    if (!this.gated) return
    await new Promise<void>((open) => {
      this.#waiting.push({ name: `${stage} ${call}`, open })
    })
  }

  async #through<Value>(call: string, act: () => Promise<Value>): Promise<Value> {
    await this.#pass(call, 'before')
    const value = await act()
    await this.#pass(call, 'after')
    return value
  }

  partitionOf(issuer: string, subject: string) {
    return this.#store.partitionOf(issuer, subject)
  }
  start: SessionStore['start'] = async (session) =>
    this.#through('start', async () => this.#store.start(session))
  rotate: SessionStore['rotate'] = async (request) =>
    this.#through('rotate', async () => this.#store.rotate(request))
  amend: NonNullable<SessionStore['amend']> = async (request) =>
    this.#through('amend', async () => this.#store.amend!(request))
  find: SessionStore['find'] = async (sessionId) =>
    this.#through('find', async () => this.#store.find(sessionId))
  list: SessionStore['list'] = async (issuer, subject) =>
    this.#through('list', async () => this.#store.list(issuer, subject))
  revocations: SessionStore['revocations'] = (issuer) => {
    const revocations = this.#store.revocations(issuer)
    const kickOut: typeof revocations.kickOut = async (target, options) =>
      this.#through('kickOut', async () => revocations.kickOut(target, options))
    return new Proxy(revocations, {
      get(target, name) {
        if (name === 'kickOut') return kickOut
        const member: unknown = Reflect.get(target, name)
        // A proxy must give a member of that kind, found by a symbol, as it is.
        if (typeof name === 'symbol') return member
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      },
    })
  }
  close = async () => this.#store.close()
}

/**
 * Runs the acts once for each interleaving of their store calls, up to `limit` of them: a depth-first walk over which gate
 * opens next. `run` makes everything afresh and checks the invariants at the end.
 */
async function everyInterleaving(
  limit: number,
  run: (drive: (store: GatedStore, acts: Promise<unknown>[]) => Promise<void>) => Promise<void>,
): Promise<number> {
  let choices: { taken: number; of: number }[] = []
  for (let count = 1; ; count++) {
    let depth = 0
    await run(async (store, acts) => {
      let finished = 0
      const done = Promise.allSettled(acts.map(async (act) => act.finally(() => finished++)))
      for (;;) {
        // Each act makes one call at a time, so now every one of them has ended or waits at a gate.
        while (store.waiting + finished < acts.length) await nextTurn()
        if (store.waiting === 0) break
        const choice = (choices[depth] ??= { taken: 0, of: store.waiting })
        depth++
        store.open(choice.taken)
      }
      await done
    })
    choices = choices.slice(0, depth)
    while (choices.length > 0 && choices.at(-1)!.taken + 1 >= choices.at(-1)!.of) choices.pop()
    const last = choices.at(-1)
    if (!last || count >= limit) return count
    last.taken++
  }
}

/** Interleavings of the flows over a store, and what must hold after each of them. */
export function describeRaces(name: string, source: RacesSource): void {
  describe(`races over ${name}`, () => {
    const atMost = (count: number) => Math.min(count, source.limit ?? count)
    const open: Kit[] = []

    afterEach(async () => {
      await Promise.all(open.splice(0).map(async (kit) => kit.close()))
    })

    async function makeKit(): Promise<{ kit: Kit; store: GatedStore }> {
      const { store: inner, clock } = await source.create()
      const store = new GatedStore(inner)
      const kit = await createKit({ store, clock })
      open.push(kit)
      await kit.issuer.revocations.ready()
      return { kit, store }
    }

    async function closeKits(): Promise<void> {
      await Promise.all(open.splice(0).map(async (kit) => kit.close()))
    }

    async function isAccepted(kit: Kit, token: string): Promise<boolean> {
      return (await kit.call(token)).status === 200
    }

    /** Nothing that was ever handed out is accepted, and no refresh token gives anything new. */
    async function expectAllOut(kit: Kit, answers: readonly Answer[]): Promise<void> {
      for (const { status, json } of answers) {
        if (status !== 200) continue
        expect(await isAccepted(kit, json.access_token)).toBe(false)
        expect((await kit.refresh(json.refresh_token)).status).toBe(400)
      }
    }

    test('RT01 rotate ∥ rotate ∥ rotate has one lineage in every interleaving', async () => {
      const count = await everyInterleaving(atMost(150), async (drive) => {
        const { kit, store } = await makeKit()
        const { refresh_token: token } = await kit.startSession()
        const answers: Answer[] = []
        const act = async () => answers.push(await kit.refresh(token))
        store.gated = true
        await drive(store, [act(), act(), act()])
        store.gated = false
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
        const successors = new Set(answers.map(({ json }) => json.refresh_token as string))
        expect(successors.size).toBe(1)
        expect((await kit.refresh([...successors][0]!)).status).toBe(200)
        await closeKits()
      })
      expect(count).toBeGreaterThanOrEqual(atMost(90))
    }, 60_000)

    test('RT09 rotate ∥ rotate ∥ kick-out: after it is acknowledged nothing survives', async () => {
      await everyInterleaving(atMost(200), async (drive) => {
        const { kit, store } = await makeKit()
        const session = await kit.startSession()
        const answers: Answer[] = []
        store.gated = true
        await drive(store, [
          kit.refresh(session.refresh_token).then((answer) => answers.push(answer)),
          kit.issuer.kickOut({ subject: 'u1' }),
          kit.refresh(session.refresh_token).then((answer) => answers.push(answer)),
        ])
        store.gated = false
        expect(await isAccepted(kit, session.access_token)).toBe(false)
        await expectAllOut(kit, answers)
        expect((await kit.refresh(session.refresh_token)).status).toBe(400)
        expect(await kit.issuer.listSessions('u1')).toEqual([])
        await closeKits()
      })
    }, 60_000)

    test('RT10 rotate ∥ logout: nothing survives', async () => {
      await everyInterleaving(atMost(200), async (drive) => {
        const { kit, store } = await makeKit()
        const session = await kit.startSession()
        const answers: Answer[] = []
        store.gated = true
        await drive(store, [
          kit.refresh(session.refresh_token).then((answer) => answers.push(answer)),
          kit.revoke(session.refresh_token),
        ])
        store.gated = false
        expect(await isAccepted(kit, session.access_token)).toBe(false)
        await expectAllOut(kit, answers)
        await closeKits()
      })
    }, 60_000)

    test('R6 login ∥ kick-out: a user who is in is in with both tokens, one who is out with none', async () => {
      const outcomes = new Set<boolean>()
      await everyInterleaving(atMost(200), async (drive) => {
        const { kit, store } = await makeKit()
        const old = await kit.startSession()
        const fresh: Awaited<ReturnType<Kit['startSession']>>[] = []
        store.gated = true
        await drive(store, [
          kit.startSession().then((tokens) => fresh.push(tokens)),
          kit.issuer.kickOut({ subject: 'u1' }),
        ])
        store.gated = false
        expect(await isAccepted(kit, old.access_token)).toBe(false)
        expect((await kit.refresh(old.refresh_token)).status).toBe(400)
        const [tokens] = fresh
        const accepted = await isAccepted(kit, tokens?.access_token ?? '')
        const { status } = await kit.refresh(tokens?.refresh_token ?? '')
        expect(status).toBe(accepted ? 200 : 400)
        expect(await kit.issuer.listSessions('u1')).toHaveLength(accepted ? 1 : 0)
        outcomes.add(accepted)
        await kit.issuer.kickOut({ subject: 'u1' })
        expect(await isAccepted(kit, tokens?.access_token ?? '')).toBe(false)
        await closeKits()
      })
      expect(outcomes).toEqual(new Set([true, false]))
    }, 60_000)

    test('step-up ∥ kick-out: after it is acknowledged nothing survives', async () => {
      const outcomes = new Set<string>()
      await everyInterleaving(atMost(150), async (drive) => {
        const { kit, store } = await makeKit()
        const session = await kit.startSession()
        const tokens: TokenResponse[] = []
        store.gated = true
        await drive(store, [
          kit.issuer.stepUp(session.session_id, { acr: 'gold' }).then(
            (raised) => tokens.push(raised),
            (error: unknown) => outcomes.add((error as { reason: string }).reason),
          ),
          kit.issuer.kickOut({ subject: 'u1' }),
        ])
        store.gated = false
        for (const { access_token, refresh_token } of tokens) {
          outcomes.add('stepped up')
          expect(await isAccepted(kit, access_token)).toBe(false)
          expect((await kit.refresh(refresh_token)).status).toBe(400)
        }
        expect((await kit.refresh(session.refresh_token)).status).toBe(400)
        await expect(kit.issuer.stepUp(session.session_id, { acr: 'gold' })).rejects.toMatchObject({
          code: 'invalid_grant',
        })
        await closeKits()
      })
      expect(outcomes).toEqual(new Set(['stepped up', 'ended']))
    }, 60_000)

    test('step-up ∥ step-up ∥ rotate: one lineage, the latest moment, and what is refreshed later has it', async () => {
      await everyInterleaving(atMost(150), async (drive) => {
        const { kit, store } = await makeKit()
        const session = await kit.startSession({ acr: 'bronze', authTime: 100 })
        const answers: Answer[] = []
        const tokens: TokenResponse[] = []
        const raise = async (acr: string, authTime: number) =>
          tokens.push(await kit.issuer.stepUp(session.session_id, { acr, authTime }))
        store.gated = true
        await drive(store, [
          raise('silver', 200),
          raise('gold', 300),
          kit.refresh(session.refresh_token).then((answer) => answers.push(answer)),
        ])
        store.gated = false
        expect(tokens).toHaveLength(2)
        expect(answers.map(({ status }) => status)).toEqual([200])
        for (const { access_token: token } of tokens)
          expect(await isAccepted(kit, token)).toBe(true)
        const successor = answers[0]!.json.refresh_token as string
        const known = [session.refresh_token, successor]
        for (const { refresh_token: token } of tokens) expect(known).toContain(token)
        const later = await kit.refresh(successor)
        expect(later.status).toBe(200)
        const { acr, auth_time } = claimsOf(later)
        expect(['silver', 'gold']).toContain(acr)
        expect(auth_time).toBe(300)
        await closeKits()
      })
    }, 60_000)

    test('theft ∥ kick-out ∥ rotate: a reuse and a kick-out end the session together', async () => {
      await everyInterleaving(atMost(150), async (drive) => {
        const { kit, store } = await makeKit()
        const { refresh_token: first } = await kit.startSession()
        const second = (await kit.refresh(first)).json.refresh_token as string
        const third = (await kit.refresh(second)).json
        const answers: Answer[] = []
        store.gated = true
        await drive(store, [
          kit.refresh(first).then((answer) => answers.push(answer)),
          kit.refresh(third.refresh_token).then((answer) => answers.push(answer)),
          kit.issuer.kickOut({ subject: 'u1' }),
        ])
        store.gated = false
        expect(await isAccepted(kit, third.access_token)).toBe(false)
        await expectAllOut(kit, answers)
        await closeKits()
      })
    }, 60_000)
  })
}
