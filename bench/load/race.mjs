import { launch } from '../processes/launch.mjs'

/** Below this share of a core, a saturated server had to share it with other programs. */
const undisturbed = 0.93
const attemptsPerPair = 3

async function measure(server, press, seconds) {
  const before = await server.ask('usage')
  const result = await press(server, seconds)
  const after = await server.ask('usage')
  if (result.failures > 0 || result.requests === 0) {
    const statuses = JSON.stringify(result.statuses ?? {})
    throw new Error(`${server.name}: ${result.failures} of ${result.requests} failed ${statuses}`)
  }
  const cpuMicros = after.cpuMicros - before.cpuMicros
  return {
    perSecond: result.requests / result.seconds,
    cpuMicros: cpuMicros / result.requests,
    coreShare: cpuMicros / 1e6 / result.seconds,
  }
}

/** Starts a contender and the baseline in fresh processes, warms both, and measures them in the order A B B A. */
async function runPair(baseline, contender, { seconds, warmupSeconds, press }) {
  const servers = []
  try {
    for (const { name, file, config } of [baseline, contender]) {
      const server = await launch(file, config, { pin: 'server' })
      servers.push(Object.assign(server, { name, used: 0 }))
    }
    for (const server of servers) await measure(server, press, warmupSeconds)
    const [a, b] = servers
    const runs = []
    for (const server of [a, b, b, a]) runs.push(await measure(server, press, seconds))
    const [first, second, third, fourth] = runs
    return {
      baseline: [first, fourth],
      contender: [second, third],
      coreShare: Math.min(...runs.map(({ coreShare }) => coreShare)),
    }
  } finally {
    await Promise.all(servers.map(async (server) => server.stop()))
  }
}

/** Measures a pair until nothing else used its core, or keeps the least disturbed attempt. */
async function runQuietPair(...args) {
  let best
  for (let attempt = 0; attempt < attemptsPerPair; attempt++) {
    const pair = await runPair(...args)
    if (!best || pair.coreShare > best.coreShare) best = pair
    if (best.coreShare >= undisturbed) break
  }
  return best
}

/**
 * Measures contenders against a baseline, each in pairs of fresh processes: no more than the two servers that are compared
 * are alive, so neither runs on a cold processor. A pair is measured in the order baseline, contender, contender, baseline,
 * `seconds` each; each measurement of the contender has its ratio to the one beside it.
 *
 * @param press asks a server for as much as it can take, for that many seconds
 * @param baseline the name of the contender that the others are compared with
 * @returns for each name the lists `perSecond`, `cpuMicros`, `coreShare` and `ratios`; the baseline's ratio is 1
 * @throws Error when any request was not answered as it should be
 */
export async function race({ contenders, baseline: baselineName, pairs, log, ...settings }) {
  const baseline = contenders.find(({ name }) => name === baselineName)
  const results = Object.fromEntries(
    contenders.map(({ name }) => [
      name,
      { perSecond: [], cpuMicros: [], coreShare: [], ratios: [] },
    ]),
  )
  const add = (name, run, ratio) => {
    for (const field of ['perSecond', 'cpuMicros', 'coreShare'])
      results[name][field].push(run[field])
    results[name].ratios.push(ratio)
  }
  for (let pair = 0; pair < pairs; pair++) {
    for (const contender of contenders) {
      if (contender === baseline) continue
      const runs = await runQuietPair(baseline, contender, settings)
      for (const [half, run] of runs.contender.entries()) {
        add(contender.name, run, run.perSecond / runs.baseline[half].perSecond)
        add(baseline.name, runs.baseline[half], 1)
      }
    }
    log(`pair ${pair + 1} of ${pairs}`)
  }
  return results
}
