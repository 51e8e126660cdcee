/** What is left after a collection, in bytes. Exact where node runs with `--expose-gc`. */
export async function memoryAfterCollection() {
  // More than one: finalizers of the first free what the next ones find.
  for (let collection = 0; collection < 4; collection++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}

const common = {
  memory: memoryAfterCollection,
  /** Processor time of all threads so far. */
  usage() {
    const { user, system } = process.cpuUsage()
    return { cpuMicros: user + system }
  },
}

/** Answers what the process that launched this one asks. Ends with it. */
export function answer(commands) {
  const all = { ...common, ...commands }
  process.on('message', ({ id, command, argument }) => {
    Promise.resolve()
      .then(() => all[command](argument))
      .then(
        (value) => process.send({ id, value }),
        (error) => process.send({ id, error: error?.stack ?? String(error) }),
      )
  })
  process.on('disconnect', () => process.exit(0))
}
