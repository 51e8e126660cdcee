/*
 * A resource server in a process of its own, as far as its revocations go: it follows the log until its standard input ends.
 * Arguments: the folder of the built package, the kind of store, its URL, options as JSON.
 */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [folder, kind, url, options] = process.argv.slice(2)
const load = async (file) => import(pathToFileURL(`${folder}/dist/${file}`).href)

async function open() {
  if (kind === 'redis') {
    const { redisRevocations } = await load('redis/index.js')
    return redisRevocations(url, JSON.parse(options))
  }
  const { Pool } = createRequire(`${folder}/package.json`)('pg')
  const { postgresRevocations } = await load('postgres/index.js')
  return postgresRevocations(
    new Pool({ connectionString: url }).on('error', () => {}),
    JSON.parse(options),
  )
}

const revocations = await open()
const ids = async () => (await revocations.listServers()).map(({ serverId }) => serverId)
const others = await ids()
await revocations.ready()
const serverId = (await ids()).find((id) => !others.includes(id))
process.stdout.write(`${JSON.stringify({ serverId })}\n`)
process.stdin.resume().on('end', async () => {
  await revocations.close()
  process.exit(0)
})
