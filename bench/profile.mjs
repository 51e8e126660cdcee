/**
 * `npm run bench:profile`: where the time of a hot request goes, in this package and in the floor, by `node --cpu-prof`; and
 * whether Express gives two requests the same shape, on which the price of a property of `req` depends.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasWrk } from './machine.mjs'
import { prepare } from './prepare.mjs'
import { launch } from './processes/launch.mjs'
import { startOwnRedis } from './processes/redis.mjs'
import {
  audience,
  issuer,
  makeKey,
  makeTokens,
  publishKeys,
  scope,
  writeTokens,
} from './tokens.mjs'

const seconds = 8
const algorithm = 'RS256'
const shown = 20

function groupOf({ functionName, url }) {
  if (/express-kickout|bench\/guards\/(?!serve)|lru-cache/.test(url)) return 'the guard'
  if (/ioredis|redis-parser/.test(url)) return 'ioredis'
  if (/node_modules/.test(url)) return 'Express and what it uses'
  return functionName === '(garbage collector)' ? 'garbage collector' : 'Node.js and the system'
}

/** Shares of the time that was not idle, by group, and by function of the guard. */
function sharesOf(profile) {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const groups = new Map()
  const functions = new Map()
  let total = 0
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id)
    if (frame.functionName === '(idle)') return
    const micros = profile.timeDeltas[index]
    total += micros
    const add = (map, key) => map.set(key, (map.get(key) ?? 0) + micros)
    add(groups, groupOf(frame))
    if (groupOf(frame) !== 'the guard') return
    const file = frame.url.split('/').slice(-2).join('/')
    add(functions, `${frame.functionName || '(anonymous)'} ${file}`)
  })
  const sorted = (map) =>
    [...map].map(([name, micros]) => [name, (100 * micros) / total]).sort((a, b) => b[1] - a[1])
  return { groups: sorted(groups), functions: sorted(functions).slice(0, shown) }
}

async function profileOf(name, { generator, config }) {
  const folder = mkdtempSync(join(tmpdir(), 'kickout-profile-'))
  const nodeArgs = ['--cpu-prof', '--cpu-prof-interval', '200', '--cpu-prof-dir', folder]
  const server = await launch('guards/serve.mjs', { ...config, name }, { pin: 'server', nodeArgs })
  await generator.ask('press', { port: server.port, seconds })
  await server.stop()
  const [file] = readdirSync(folder)
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8'))
  rmSync(folder, { recursive: true })
  return sharesOf(profile)
}

prepare({ build: true })
const key = makeKey(algorithm)
const tokens = writeTokens(await makeTokens(key, 200))
const keys = await publishKeys([key])
const redis = await startOwnRedis()
const load = { tool: hasWrk ? 'wrk' : 'autocannon', tokensFile: tokens.file }
const generator = await launch('load/generator.mjs', load, { pin: 'load' })
const config = {
  ...{ issuer, audience, scope, algorithm },
  ...{ jwksUri: keys.uri, publicPem: key.publicPem, redisPort: redis.port },
}
try {
  for (const name of ['kickout', 'floor']) {
    const { groups, functions } = await profileOf(name, { generator, config })
    console.log(`\n${name}, hot ${algorithm}, % of the time that was not idle`)
    for (const rows of [groups, functions]) {
      for (const [what, share] of rows) console.log(`${share.toFixed(2).padStart(7)}  ${what}`)
      console.log()
    }
  }
} finally {
  await generator.stop()
  await redis.stop()
  keys.close()
  tokens.remove()
}
const shapes = fileURLToPath(new URL('shapes.mjs', import.meta.url))
execFileSync(process.execPath, ['--allow-natives-syntax', shapes], { stdio: 'inherit' })
