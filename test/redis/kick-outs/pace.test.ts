import { describe, expect, test } from '@jest/globals'
import { Pace } from '../../../src/redis/kick-outs/pace.ts'
import { FakeClock } from '../../support/fake-clock.ts'

/* How often a reader reads and reports, by the size of the fleet. */

const blocks = { blockMs: 400, fleetBlockMs: 1000 }

function paceOf(servers: number): { pace: Pace; clock: FakeClock } {
  const clock = new FakeClock()
  const pace = new Pace(blocks, clock)
  pace.noteServers(servers)
  return { pace, clock }
}

describe('reads', () => {
  test('wait longer in a large fleet, but not those of a process that checks no tokens', () => {
    expect(paceOf(99).pace.blockMs(true)).toBe(400)
    expect(paceOf(100).pace.blockMs(true)).toBe(1000)
    expect(paceOf(100).pace.blockMs(false)).toBe(400)
  })

  test('keep the number of servers where a head does not say it', () => {
    const { pace } = paceOf(100)
    pace.noteServers(undefined)
    expect(pace.blockMs(true)).toBe(1000)
  })

  test('follow at once on the first kick-out in a small fleet', () => {
    const { pace } = paceOf(299)
    pace.noteRound(1)
    expect(pace.gatherMs()).toBe(0)
  })

  test.each([
    [300, 30],
    [1000, 100],
    [10_000, 200],
  ])('of %i servers let kick-outs gather for %i ms while they keep coming', (servers, ms) => {
    const { pace, clock } = paceOf(servers)
    expect(pace.gatherMs()).toBe(0)
    pace.noteRound(1)
    expect(pace.gatherMs()).toBe(ms)
    clock.advance(ms - 1)
    expect(pace.gatherMs()).toBe(1)
    // Nothing came: the next read waits for an entry and does not begin to gather again.
    pace.noteEntries(0)
    clock.advance(1)
    expect(pace.gatherMs()).toBe(0)
    pace.noteEntries(3)
    expect(pace.gatherMs()).toBe(ms)
    pace.noteRound(0)
    expect(pace.gatherMs()).toBe(0)
  })
})

describe('the head', () => {
  test('is due at once while nothing comes', () => {
    const { pace, clock } = paceOf(3)
    pace.noteHeadAsked(clock.monotonic())
    expect(pace.untilHeadMs()).toBe(0)
  })

  test('is due 20 ms after the last one while entries come, later in a large fleet', () => {
    for (const [servers, ms] of [
      [3, 20],
      [1000, 200],
    ] as const) {
      const { pace, clock } = paceOf(servers)
      pace.noteHeadAsked(clock.monotonic())
      pace.noteRound(1)
      expect(pace.untilHeadMs()).toBe(ms)
      clock.advance(ms)
      expect(pace.untilHeadMs()).toBe(0)
    }
  })

  test('is due at once where a kick-out waits for the report of a small fleet', () => {
    const { pace, clock } = paceOf(3)
    pace.noteHeadAsked(clock.monotonic())
    pace.noteRound(1)
    pace.noteAwaited(true)
    expect(pace.isAwaited).toBe(true)
    expect(pace.untilHeadMs()).toBeLessThanOrEqual(2)
    pace.noteReported()
    expect(pace.isAwaited).toBe(false)
    expect(pace.untilHeadMs()).toBe(20)
  })

  test('is spread over 200 ms by 1 000 servers that report one kick-out', () => {
    const dues = Array.from({ length: 200 }, () => {
      const { pace, clock } = paceOf(1000)
      pace.noteHeadAsked(clock.monotonic() - 1000)
      pace.noteRound(1)
      pace.noteAwaited(true)
      return pace.untilHeadMs()
    })
    expect(Math.max(...dues)).toBeLessThanOrEqual(200)
    expect(Math.max(...dues) - Math.min(...dues)).toBeGreaterThan(100)
  })
})
