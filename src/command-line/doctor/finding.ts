export type FindingStatus = 'ok' | 'warn' | 'fail'

/** One line of the doctor. */
export interface Finding {
  /** What was looked at, in one word or two. */
  readonly check: string
  readonly status: FindingStatus
  readonly message: string
  /** What to do; where nothing is wrong there is none. */
  readonly remedy?: string
}

export function ok(check: string, message: string): Finding {
  return { check, status: 'ok', message }
}

export function warn(check: string, message: string, remedy: string): Finding {
  return { check, status: 'warn', message, remedy }
}

export function fail(check: string, message: string, remedy: string): Finding {
  return { check, status: 'fail', message, remedy }
}
