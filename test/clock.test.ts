import { expect, test } from '@jest/globals'
import { ageMs, instantOf, systemClock } from '../src/clock.ts'
import { FakeClock } from './support/fake-clock.ts'

test('an age is what the clock says that went further', () => {
  const clock = new FakeClock()
  const instant = instantOf(clock)
  expect(ageMs(instant, clock)).toBe(0)
  clock.advance(10)
  expect(ageMs(instant, clock)).toBe(10)
  clock.setAhead(100)
  expect(ageMs(instant, clock)).toBe(110)
  clock.setBack(1000)
  expect(ageMs(instant, clock)).toBe(10)
})
test('the system clock has both', () => {
  const [wall, monotonic] = [systemClock.now(), systemClock.monotonic()]
  expect(Math.abs(wall - Date.now())).toBeLessThan(1000)
  expect(systemClock.monotonic()).toBeGreaterThanOrEqual(monotonic)
})
