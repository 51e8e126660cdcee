import { describe, expect, test } from '@jest/globals'
import { protectedResourceMetadata } from '../../src/guard/protected-resource.ts'
import { expressVersions } from '../support/express-versions.ts'
import { listen, send } from '../support/http-client.ts'

const authorizationServers = ['https://login.example.com']
const wellKnown = '/.well-known/oauth-protected-resource'

describe.each(expressVersions)('on %s', (_name, express) => {
  test('publishes the resource as it is, for every origin', async () => {
    for (const [resource, path] of [
      ['https://api.example.com', wellKnown],
      ['https://api.example.com/', wellKnown],
      ['https://api.example.com/mcp', `${wellKnown}/mcp`],
      ['https://api.example.com/a/b/', `${wellKnown}/a/b/`],
      ['https://API.example.com:443/mcp', `${wellKnown}/mcp`],
    ] as const) {
      const metadata = protectedResourceMetadata({ resource, authorizationServers })
      expect(metadata.url).toBe(`https://api.example.com${path}`)
      const server = await listen(express().use(metadata))
      const answer = await send(`${server.url}${path}`)
      expect(answer.status).toBe(200)
      expect(answer.json).toEqual({
        resource,
        authorization_servers: authorizationServers,
        bearer_methods_supported: ['header'],
      })
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
      expect(answer.headers['access-control-allow-origin']).toBe('*')
      expect(answer.headers['cache-control']).toBe('public, max-age=3600')
      await server.close()
    }
  })
  test('tells all that it was given', async () => {
    const metadata = protectedResourceMetadata({
      resource: 'http://localhost:3000/mcp',
      authorizationServers: ['https://a.test/tenant/', 'http://127.0.0.1:4000'],
      scopesSupported: ['mcp:read', 'mcp:write'],
      resourceName: 'Reports',
      resourceDocumentation: 'https://docs.example.com',
    })
    const server = await listen(express().use(metadata))
    expect((await send(`${server.url}${wellKnown}/mcp`)).json).toEqual({
      resource: 'http://localhost:3000/mcp',
      authorization_servers: ['https://a.test/tenant/', 'http://127.0.0.1:4000'],
      scopes_supported: ['mcp:read', 'mcp:write'],
      bearer_methods_supported: ['header'],
      resource_name: 'Reports',
      resource_documentation: 'https://docs.example.com',
    })
    await server.close()
  })
  test('answers HEAD, preflights and wrong methods, and lets other paths pass', async () => {
    const resource = 'https://api.example.com/mcp'
    const metadata = protectedResourceMetadata({ resource, authorizationServers })
    const app = express().use(metadata)
    const server = await listen(app.use((_req, res) => void res.status(299).end()))
    const url = `${server.url}${wellKnown}/mcp`
    const head = await send(url, { method: 'HEAD' })
    expect([head.status, head.text]).toEqual([200, ''])
    const preflight = await send(url, { method: 'OPTIONS' })
    expect(preflight.status).toBe(204)
    expect(preflight.headers['access-control-allow-methods']).toBe('GET, HEAD, OPTIONS')
    expect(preflight.headers['access-control-allow-headers']).toBe('*')
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const refused = await send(url, { method })
      expect([refused.status, refused.headers.allow]).toEqual([405, 'GET, HEAD, OPTIONS'])
    }
    for (const path of ['/', wellKnown, `${wellKnown}/mcp/x`, `${wellKnown}/MCP`]) {
      expect((await send(`${server.url}${path}`)).status).toBe(299)
    }
    await server.close()
  })
})

test('a query of the resource stands in the address of the metadata', () => {
  const resource = 'https://api.example.com/mcp?tenant=a'
  expect(protectedResourceMetadata({ resource, authorizationServers }).url).toBe(
    `https://api.example.com${wellKnown}/mcp?tenant=a`,
  )
})
test.each([
  [{ resource: undefined }, /"resource" is missing/],
  [{ resource: 'api' }, /"resource" must be/],
  [{ resource: 'http://api.example.com' }, /"resource" must be/],
  [{ resource: 'https://api.example.com/#a' }, /"resource" must be/],
  [{ resource: 'https://u:p@api.example.com' }, /"resource" must be/],
  [{ authorizationServers: undefined }, /"authorizationServers" is missing/],
  [{ authorizationServers: [] }, /"authorizationServers" must not be an empty list/],
  [{ authorizationServers: ['login'] }, /"authorizationServers\[0\]" must be/],
  [{ authorizationServers: ['https://a.test?x=1'] }, /"authorizationServers\[0\]" must be/],
  [{ scopesSupported: ['a', 'offline_access'] }, /must not hold "offline_access"/],
  [{ scopesSupported: ['a b'] }, /"scopesSupported" must be/],
  [{ scopesSupported: [] }, /"scopesSupported" must not be/],
  [{ resourceName: '' }, /"resourceName" must be/],
  [{ resourceDocumentation: 'docs' }, /"resourceDocumentation" must be/],
  [{ scopes: ['a'] }, /unknown option "scopes"/],
])('%j is a TypeError', (changes, message) => {
  const good = { resource: 'https://api.example.com', authorizationServers }
  const make = () => protectedResourceMetadata({ ...good, ...changes } as never)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})
