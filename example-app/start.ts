import { demoPasswords, people } from './people.ts'
import { startServers } from './servers.ts'

const { REDIS_URL: redisUrl, DATABASE_URL: databaseUrl } = process.env
const { LOGIN_PORT, API_PORTS, PROVIDER_PORT = '0' } = process.env

const servers = await startServers({
  redisUrl,
  databaseUrl,
  providerPort: Number(PROVIDER_PORT),
  ...(LOGIN_PORT !== undefined && { loginPort: Number(LOGIN_PORT) }),
  ...(API_PORTS !== undefined && { apiPorts: API_PORTS.split(',').map(Number) }),
}).catch((error: unknown) => {
  const { code, port } = error as NodeJS.ErrnoException & { port?: number }
  if (code !== 'EADDRINUSE') throw error
  console.error(`Port ${port ?? ''} is taken. Set LOGIN_PORT or API_PORTS (3001,3002) to others.`)
  process.exit(1)
})

function stateOf(): string {
  if (databaseUrl !== undefined) return 'in PostgreSQL'
  if (redisUrl !== undefined) return 'in Redis'
  return 'in memory; set REDIS_URL or DATABASE_URL for Redis or PostgreSQL and a second API server'
}

const rows = people.map(
  ({ id, scope }) => `    ${id.padEnd(6)}${(demoPasswords[id] ?? '').padEnd(24)}${scope}`,
)
console.log(`
  Open          ${servers.loginUrl}
  and again     in a private window or another browser, as another user

  Sign in as    password                scopes
${rows.join('\n')}

  Login service ${servers.loginUrl}
  API           ${servers.apiUrls.join('  ')}
  Provider      ${servers.providerUrl}, by which Dora and Emil sign in, without a password
  State         ${stateOf()}

  Let Ada kick Ben out and watch Ben's page. Ctrl+C stops.
`)

process.once('SIGINT', () => {
  void servers.close().then(() => process.exit(0))
})
