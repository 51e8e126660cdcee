import { durationText } from '../output.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** The default tolerance of guards: past it tokens are refused, or kick-outs miss them. */
const toleranceMs = 5000
const noticeableMs = 1000

/** A clock elsewhere, as it was read. */
export interface ClockReading {
  /** Milliseconds since the epoch. */
  readonly there: number
  /** When the question was sent and the answer came, by this machine's clock. */
  readonly sentAt: number
  readonly receivedAt: number
}

/**
 * How far a clock is ahead of this machine's; negative for behind. What the way there and back may explain is not counted.
 *
 * @param resolutionMs - how coarse the reading is
 */
function skewOf({ there, sentAt, receivedAt }: ClockReading, resolutionMs = 0): number {
  if (there + resolutionMs < sentAt) return there + resolutionMs - sentAt
  if (there > receivedAt) return there - receivedAt
  return 0
}

/** @param whose - as in "the clock of Redis" */
export function clockFinding(whose: string, reading: ClockReading, resolutionMs = 0): Finding {
  const skewMs = skewOf(reading, resolutionMs)
  const size = Math.abs(skewMs)
  if (size < noticeableMs)
    return ok(
      'clocks',
      `the clocks of ${whose} and of this machine agree to ${durationText(noticeableMs)}`,
    )
  const message = `the clock of ${whose} is ${durationText(size)} ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's`
  const remedy =
    'find out which of the two is wrong (compare both with a third), and let every machine take its time from NTP: ' +
    'kick-outs of a client or of everyone are compared with the "iat" of tokens'
  return size > toleranceMs ? fail('clocks', message, remedy) : warn('clocks', message, remedy)
}
