import { EventEmitter } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, jest, test } from '@jest/globals'
import {
  AuthError,
  getAuth,
  type KickOutTarget,
  memoryRevocations,
  requireAuth,
  type Revocation,
  type Revocations,
} from '../../src/index.ts'
import { bearer, makeGuarded, run } from '../support/guarded.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { audience, claimsAt, issuer, makeSigner } from '../support/make-token.ts'
import { waitUntil } from '../support/wait.ts'

async function open(
  revocations: Revocations,
  changes: object = {},
  clock = new FakeClock(Date.now()),
) {
  const guarded = makeGuarded({ revocations }, { clock })
  const res = Object.assign(new EventEmitter(), { setHeader: () => undefined, closed: false })
  const req = bearer(guarded.token({ jti: 'jti', ...changes }))
  const { error } = await run(guarded.guard, req, { once: res.once.bind(res) })
  expect(error).toBeUndefined()
  return { guarded, clock, req, res, signal: () => getAuth(req).signal }
}

describe('auth.signal', () => {
  test.each<[KickOutTarget]>([
    [{ token: { jti: 'jti' } }],
    [{ session: 'sid-1' }],
    [{ subject: 'user-1' }],
    [{ client: 'web' }],
    [{ everyone: true }],
  ])('aborts with an AuthError when the token is kicked out by %j', async (target) => {
    const revocations = memoryRevocations({ issuer })
    const { signal } = await open(revocations)
    const own = signal()
    expect(own.aborted).toBe(false)
    await revocations.kickOut({ session: 'another' })
    await revocations.kickOut({ ...target, issuer: 'https://other.test' })
    expect(own.aborted).toBe(false)
    await revocations.kickOut(target)
    expect(own.reason).toBeInstanceOf(AuthError)
    expect(own.reason).toMatchObject({ code: 'invalid_token', reason: 'revoked', status: 401 })
  })

  test('aborts one turn after its first use when the kick-out came before that, so that a listener hears it', async () => {
    const revocations = memoryRevocations({ issuer })
    const { signal } = await open(revocations)
    await revocations.kickOut({ session: 'sid-1' })
    const late = signal()
    expect(late.aborted).toBe(false)
    await new Promise((resolve) => late.addEventListener('abort', resolve, { once: true }))
    expect(late.reason).toMatchObject({ reason: 'revoked' })
  })

  test('aborts at exp plus the tolerance and not a millisecond sooner', async () => {
    jest.useFakeTimers()
    try {
      const signer = makeSigner('ES256')
      const guard = requireAuth({
        issuer,
        audience,
        jwks: { keys: [signer.publicJwk] },
      })
      const req = bearer(signer.sign(claimsAt(Date.now() / 1000)))
      const asked = run(guard, req)
      await jest.advanceTimersByTimeAsync(0)
      await asked
      const left = (getAuth(req).expiresAt + 5) * 1000 - Date.now()
      const { signal } = getAuth(req)
      await jest.advanceTimersByTimeAsync(left - 1)
      expect(signal.aborted).toBe(false)
      await jest.advanceTimersByTimeAsync(1)
      expect(signal.reason).toMatchObject({ code: 'invalid_token', reason: 'expired' })
    } finally {
      jest.useRealTimers()
    }
  })

  test('does not abort on a refresh: another token of the same session changes nothing', async () => {
    const revocations = memoryRevocations({ issuer })
    const { signal, guarded } = await open(revocations)
    const own = signal()
    await guarded.ask(guarded.token({ jti: 'next' }))
    await revocations.kickOut({ token: { jti: 'another' } })
    expect(own.aborted).toBe(false)
  })

  test('costs nothing until it is asked for, and then one listener for all', async () => {
    let listeners = 0
    const inner = memoryRevocations({ issuer })
    const revocations = {
      ...inner,
      onKickOut(listener: (revocation: Revocation) => void) {
        listeners++
        const stop = inner.onKickOut(listener)
        return () => {
          listeners--
          stop()
        }
      },
    }
    const { guarded, signal, res } = await open(revocations)
    expect([listeners, res.listenerCount('close')]).toEqual([0, 0])
    expect(signal()).toBe(signal())
    const second = bearer(guarded.token())
    await run(guarded.guard, second)
    expect(getAuth(second).signal).not.toBe(signal())
    expect([listeners, res.listenerCount('close')]).toEqual([1, 1])
    await guarded.guard.close()
    expect(listeners).toBe(0)
    const late = await open(revocations)
    await late.guarded.guard.close()
    expect(late.signal().aborted).toBe(false)
    expect(listeners).toBe(0)
  })

  test('is held while the response is open and let go when it closes', async () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const revocations = memoryRevocations({ issuer })
    const held = await open(revocations)
    const closed = await open(revocations)
    const heard: string[] = []
    const listen = (name: string, it: typeof held): WeakRef<AbortSignal> => {
      const signal = it.signal()
      signal.addEventListener('abort', () => heard.push(name))
      return new WeakRef(signal)
    }
    const refs = [listen('held', held), listen('closed', closed)] as const
    // The requests are gone, as they are when only Node holds the response.
    const forget = (it: typeof held) => delete (it.req as { auth?: unknown }).auth
    forget(held)
    forget(closed)
    closed.res.emit('close')
    await waitUntil(
      () => {
        gc()
        return refs[1].deref() === undefined
      },
      { what: 'the signal of the closed response to be collected' },
    )
    expect(refs[0].deref()).toBeDefined()
    await revocations.kickOut({ everyone: true })
    expect(heard).toEqual(['held'])
  })

  test('a check that cannot be proved does not abort', async () => {
    const inner = memoryRevocations({ issuer })
    let broken = false
    const revocations: Revocations = {
      ...inner,
      check(claims) {
        if (broken) throw new Error('stale')
        return inner.check(claims)
      },
    }
    const { signal } = await open(revocations)
    broken = true
    expect(signal().aborted).toBe(false)
    await inner.kickOut({ everyone: true })
    expect(signal().aborted).toBe(true)
  })
})
