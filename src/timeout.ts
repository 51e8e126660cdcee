/** Settles with the promise, or rejects after the time. What the promise does later is ignored. */
export async function within<Value>(
  promise: Promise<Value>,
  ms: number,
  what: string,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      // After a stall of the event loop timers come first, and the answers that have long been there come after them.
      setImmediate(() => reject(new Timeout(`${what} took longer than ${Math.ceil(ms)} ms`)))
    }, ms)
    timer.unref()
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
    promise.catch(() => undefined)
  }
}

/** An answer did not come in time. */
export class Timeout extends Error {
  override readonly name = 'Timeout'
}
