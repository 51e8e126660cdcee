import { describe, expect, test } from '@jest/globals'
import { check } from './check.ts'
import type {
  ChaosEvent,
  FaultEvent,
  KickOutEvent,
  RefreshEvent,
  RequestEvent,
  StreamEvent,
  TokenEvent,
} from './history.ts'

const settings = { maxStalenessMs: 2000, reuseGraceMs: 2000 }

const token = (facts: Partial<TokenEvent> = {}): TokenEvent => ({
  type: 'token',
  id: 't1',
  session: 's1',
  subject: 'u1',
  client: 'c1',
  by: 'login',
  from: 1000,
  to: 1010,
  expiresAt: 600_000,
  isMisdated: false,
  ...facts,
})

const request = (from: number, facts: Partial<RequestEvent> = {}): RequestEvent => ({
  type: 'request',
  token: 't1',
  server: 'api-1',
  from,
  to: from + 5,
  status: 200,
  hasChallenge: false,
  hasRetryAfter: false,
  ...facts,
})

const kickOut = (to: number, facts: Partial<KickOutEvent> = {}): KickOutEvent => ({
  type: 'kick-out',
  level: 'subject',
  target: 'u1',
  from: to - 10,
  to,
  isAcknowledged: true,
  ...facts,
})

const refresh = (from: number, facts: Partial<RefreshEvent>): RefreshEvent => ({
  type: 'refresh',
  session: 's1',
  presented: 0,
  returned: undefined,
  from,
  to: from + 5,
  status: 200,
  ...facts,
})

const fault = (from: number, to: number, facts: Partial<FaultEvent> = {}): FaultEvent => ({
  type: 'fault',
  what: 'broken',
  target: 'store',
  from,
  to,
  ...facts,
})

const life = (name: string, from = 0, to?: number): ChaosEvent => ({ type: 'life', name, from, to })
const lives = [life('api-1'), life('api-2'), life('login-1')]

const claims = (...events: ChaosEvent[]): string[] =>
  check([...lives, ...events], settings).map(({ claim }) => claim)

describe('claim C1: a kicked-out token', () => {
  test('may be let in for as long as a proof may be old, and no longer', () => {
    expect(claims(token(), kickOut(10_000), request(12_000))).toEqual([])
    expect(claims(token(), kickOut(10_000), request(12_001))).toEqual(['C1'])
  })

  test.each([
    ['token', 't1'],
    ['session', 's1'],
    ['subject', 'u1'],
    ['client', 'c1'],
    ['everyone', ''],
  ] as const)('is out at the level %s', (level, target) => {
    const late = request(20_000)
    expect(claims(token(), kickOut(10_000, { level, target }), late)).toEqual(['C1'])
    expect(claims(token(), kickOut(10_000, { level, target: 'other' }), late)).toEqual([])
  })

  test('whose kick-out was not acknowledged may be let in', () => {
    expect(claims(token(), kickOut(10_000, { isAcknowledged: false }), request(20_000))).toEqual([])
  })

  test('that was refused, or not answered, is no violation', () => {
    const out = [token(), kickOut(10_000), fault(9000, 30_000)]
    for (const status of [401, 503, 0]) {
      const answer = request(20_000, { status, hasRetryAfter: true })
      expect(claims(...out, answer)).toEqual([])
    }
  })

  test('of a login after the kick-out is another one', () => {
    expect(claims(token({ from: 11_000, to: 11_010 }), kickOut(10_000), request(20_000))).toEqual(
      [],
    )
  })

  test('shows the token, the kick-out, the request and the faults of that time, in order', () => {
    const near = fault(10_500, 11_000)
    const history = [token(), kickOut(10_000), near, fault(100_000, 110_000), request(12_001)]
    expect(check([...lives, ...history], settings)[0]?.part).toEqual([
      token(),
      kickOut(10_000),
      near,
      request(12_001),
    ])
  })
})

describe('claim C1: a loss of state', () => {
  const wipe = fault(15_000, 15_010, { loss: 'wipe' })
  const out = [token(), kickOut(10_000)]

  test('excuses nothing while one that saw the kick-out runs', () => {
    expect(claims(...out, wipe, request(25_000))).toEqual(['C1'])
  })

  test('excuses a kick-out that no process is left to republish', () => {
    const ended = ['api-1', 'api-2', 'login-1'].flatMap((name) => [
      life(name, 0, 15_005),
      life(name, 15_500),
    ])
    const history = [...ended, ...out, wipe, request(25_000)]
    expect(check(history, settings)).toEqual([])
    expect(check([...history, life('api-3')], settings)).toHaveLength(1)
  })

  test('excuses one that only those have seen who were disturbed', () => {
    const disturbed = ['api-1', 'api-2', 'login-1'].map((target) =>
      fault(14_000, 16_000, { target }),
    )
    expect(claims(...out, wipe, ...disturbed, request(25_000))).toEqual([])
    expect(claims(...out, wipe, ...disturbed.slice(1), request(25_000))).toEqual(['C1'])
  })

  test('by a failover excuses until it was written again, and not a moment longer', () => {
    const failover = fault(15_000, 18_000, { loss: 'suffix' })
    expect(claims(...out, failover, request(21_000))).toEqual([])
    expect(claims(...out, failover, request(21_001))).toEqual(['C1'])
  })

  test('of before the kick-out, or of after the request, excuses nothing', () => {
    const before = fault(9000, 9010, { loss: 'suffix' })
    const after = fault(26_000, 26_010, { loss: 'suffix' })
    expect(claims(...out, before, after, request(25_000))).toEqual(['C1'])
  })
})

describe('claim C2: refresh tokens', () => {
  test('have one successor, which a retry gets again', () => {
    const first = refresh(10_000, { presented: 0, returned: 1 })
    expect(claims(token(), first, refresh(10_100, { presented: 0, returned: 1 }))).toEqual([])
    expect(claims(token(), first, refresh(10_100, { presented: 0, returned: 2 }))).toEqual(['C2'])
  })

  const chain = [
    refresh(10_000, { presented: 0, returned: 1 }),
    refresh(10_100, { presented: 1, returned: 2 }),
  ]

  test('that are grandparents are never answered, grace or not', () => {
    expect(claims(token(), ...chain, refresh(10_200, { presented: 0, returned: 2 }))).toContain(
      'C2',
    )
    expect(claims(token(), ...chain, refresh(10_200, { presented: 0, status: 400 }))).toEqual([])
    expect(claims(token(), ...chain, refresh(10_200, { presented: 0, status: 503 }))).toEqual([])
  })

  test('of before, after the grace, end the session', () => {
    const late = refresh(14_200, { presented: 1, status: 400 })
    expect(claims(token(), ...chain, late)).toEqual([])
    const goesOn = refresh(15_000, { presented: 2, returned: 3 })
    expect(claims(token(), ...chain, late, goesOn)).toEqual(['C2'])
    expect(claims(token(), ...chain, late, request(16_300))).toEqual(['C2'])
    expect(claims(token(), ...chain, late, request(16_200))).toEqual([])
  })

  test('of a session that was over are refused for a reason, and end nothing once more', () => {
    const steps = [refresh(5000, { returned: 1 }), refresh(6000, { presented: 1, returned: 2 })]
    const late = refresh(13_000, { presented: 0, status: 400, reason: 'ended' })
    expect(claims(token(), ...steps, late)).toEqual(['C2'])
    expect(claims(token(), ...steps, kickOut(9000, { isAcknowledged: false }), late)).toEqual([])
    const earlier = refresh(9000, { presented: 0, status: 400, reason: 'reused' })
    expect(claims(token(), ...steps, earlier, late)).toEqual([])
    expect(claims(token(), ...steps, earlier, late, request(16_300))).toEqual(['C2'])
  })

  test('are forgotten with what the store forgets', () => {
    const failover = fault(10_150, 10_180, { loss: 'suffix' })
    const again = refresh(10_200, { presented: 0, returned: 1 })
    expect(claims(token(), ...chain, failover, again)).toEqual([])
  })
})

test('claim C3: a token made by a refresh after the kick-out of its user is never let in', () => {
  const later = token({ id: 't2', by: 'refresh', from: 10_500, to: 10_510 })
  const late = request(13_000, { token: 't2' })
  expect(claims(token(), later, kickOut(10_000), late)).toEqual(['C3'])
  expect(claims(token({ from: 10_200, to: 10_210 }), later, kickOut(10_000), late)).toEqual([])
})

describe('claim C4: our failures', () => {
  const away = fault(9000, 30_000)

  test('are a 503 without a challenge and with Retry-After', () => {
    const answer = (facts: Partial<RequestEvent>) =>
      claims(token(), away, request(10_000, { status: 503, ...facts }))
    expect(answer({ hasRetryAfter: true })).toEqual([])
    expect(answer({})).toEqual(['C4'])
    expect(answer({ hasRetryAfter: true, hasChallenge: true })).toEqual(['C4'])
  })

  test('are never a 401 for a user who was never kicked out', () => {
    const refused = request(10_000, { status: 401 })
    expect(claims(token(), away, refused)).toEqual(['C4'])
    expect(claims(token(), away, kickOut(9990, { isAcknowledged: false }), refused)).toEqual([])
    expect(claims(token({ expiresAt: 11_000 }), away, refused)).toEqual([])
    expect(claims(token({ isMisdated: true }), away, refused)).toEqual([])
    const ended = refresh(9000, { status: 400 })
    expect(claims(token(), away, ended, refused)).toEqual([])
    const clock = fault(9500, 9900, { target: 'api-1', isClock: true })
    expect(claims(token(), clock, refused)).toEqual([])
    expect(claims(token(), { ...clock, target: 'api-2' }, refused)).toEqual(['C4'])
  })
})

describe('claim C5: outside of faults', () => {
  test('everybody is served, within a second', () => {
    expect(claims(token(), request(10_000, { status: 503, hasRetryAfter: true }))).toEqual(['C5'])
    expect(claims(token(), request(10_000, { status: 0 }))).toEqual(['C5'])
    expect(claims(token(), request(10_000, { to: 11_001 }))).toEqual(['C5'])
  })

  test('begins five seconds after the last one, and after the start of a server', () => {
    const refused = request(10_000, { status: 503, hasRetryAfter: true })
    expect(claims(token(), fault(4000, 5001), refused)).toEqual([])
    expect(claims(token(), fault(4000, 4999), refused)).toEqual(['C5'])
    const young = [life('api-1', 6000), token(), refused]
    expect(check(young, settings)).toEqual([])
  })

  test('says nothing while the machine is busy', () => {
    const busy: ChaosEvent = { type: 'busy', from: 9000, to: 9500 }
    expect(claims(token(), busy, request(10_000, { to: 12_000 }))).toEqual([])
  })
})

test('claim C6: all servers are live five seconds after the last fault', () => {
  const recovery = (to: number, isLive = true): ChaosEvent => ({
    type: 'recovery',
    from: 10_000,
    to,
    isLive,
  })
  expect(claims(recovery(15_000))).toEqual([])
  expect(claims(recovery(15_001))).toEqual(['C6'])
  expect(claims(recovery(15_000, false))).toEqual(['C6'])
})

describe('claim C7: a stream', () => {
  const stream = (to: number | undefined): StreamEvent => ({
    type: 'stream',
    token: 't1',
    server: 'api-1',
    from: 5000,
    to,
  })
  const end = request(60_000, { token: 'unknown' })

  test('ends when its user is kicked out', () => {
    expect(claims(token(), stream(12_500), kickOut(10_000), end)).toEqual([])
    expect(claims(token(), stream(12_501), kickOut(10_000), end)).toEqual(['C7'])
    expect(claims(token(), stream(undefined), kickOut(10_000), end)).toEqual(['C7'])
  })

  test('ends after the fault that kept its server from knowing', () => {
    const cut = fault(9000, 20_000, { target: 'api-1' })
    expect(claims(token(), cut, stream(22_500), kickOut(10_000), end)).toEqual([])
    expect(claims(token(), cut, stream(22_501), kickOut(10_000), end)).toEqual(['C7'])
  })
})
