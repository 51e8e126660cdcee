import { launch } from '../processes/launch.mjs'

/** Below this share of a core, a saturated server had to share it with somebody else's work. */
const undisturbed = 0.93
const attemptsPerCycle = 3

function rotate(list, by) {
  const start = by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

async function measure(server, press) {
  const before = await server.ask('usage')
  const result = await press(server)
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

async function runCycle(servers, turn, press) {
  const cycle = new Map()
  for (const server of rotate(servers, turn)) cycle.set(server.name, await measure(server, press))
  const shares = [...cycle.values()].map(({ coreShare }) => coreShare)
  return { cycle, coreShare: Math.min(...shares) }
}

/** Measures until enough cycles went undisturbed, or keeps the least disturbed ones. */
async function runCycles(servers, { cycles, seconds, press }) {
  const done = []
  for (let turn = 0; turn < cycles * attemptsPerCycle; turn++) {
    done.push(await runCycle(servers, turn, (server) => press(server, seconds)))
    if (done.filter(({ coreShare }) => coreShare >= undisturbed).length >= cycles) break
  }
  return done.sort((a, b) => b.coreShare - a.coreShare).slice(0, cycles)
}

/**
 * Measures contenders side by side. A round starts every one in a fresh process and warms it; a cycle then measures each
 * once, in an order that moves on. Whatever disturbs a cycle disturbs neighbours alike, so the ratios within it hold.
 *
 * @param press asks a server for as much as it can take, for that many seconds
 * @returns for each name the lists `perSecond`, `cpuMicros` and `coreShare`, cycle by cycle
 * @throws Error when any request was not answered as it should be
 */
export async function race({ contenders, rounds, warmupSeconds, log, ...settings }) {
  const kept = []
  for (let round = 0; round < rounds; round++) {
    const servers = []
    try {
      for (const { name, file, config } of rotate(contenders, round)) {
        const server = await launch(file, config, { pin: 'server' })
        servers.push(Object.assign(server, { name, used: 0 }))
        await measure(server, (warming) => settings.press(warming, warmupSeconds))
      }
      kept.push(...(await runCycles(servers, settings)))
    } finally {
      await Promise.all(servers.map(async (server) => server.stop()))
    }
    log(`round ${round + 1} of ${rounds}`)
  }
  const listOf = (name, field) => kept.map(({ cycle }) => cycle.get(name)[field])
  return Object.fromEntries(
    contenders.map(({ name }) => [
      name,
      {
        perSecond: listOf(name, 'perSecond'),
        cpuMicros: listOf(name, 'cpuMicros'),
        coreShare: listOf(name, 'coreShare'),
      },
    ]),
  )
}
