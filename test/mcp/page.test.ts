import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import express, { type Express, type RequestHandler } from 'express'
import {
  type AuthHandler,
  cutOnKickOut,
  protectedResourceMetadata,
  requireAuth,
} from '../../src/index.ts'
import { createTestIssuer, type TestIssuer } from '../../src/testing/index.ts'
import { blocksOf, readPage } from '../support/documentation.ts'
import { listen, type Listening } from '../support/http-client.ts'
import { runBlock } from '../support/run-block.ts'
import { type McpClient, type McpSdk, msUntilStreamEnds, Waiting } from './mcp-sdk.ts'
import { sdkV1 } from './sdk-v1.ts'
import { sdkV2Stateless } from './sdk-v2.ts'

/*
 * The samples of docs/mcp.md run as they stand there. Only the addresses are those of the test, and imports are done by the
 * test, since jest finds modules for its own files alone. test/repository/samples.test.ts compiles them.
 */

const page = 'docs/mcp.md'
const blocks = blocksOf(page, readPage(page)).map(({ shown }) => shown)

const load = async (name: string): Promise<unknown> => import(name)

let server: Listening
let issuer: TestIssuer
let serve: RequestHandler
const clients: McpClient[] = []

beforeEach(async () => {
  const front = express()
  front.use((req, res, next) => serve(req, res, next))
  server = await listen(front)
  issuer = createTestIssuer({
    issuer: 'https://login.example.com',
    audience: `${server.url}/mcp`,
  })
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map(async (client) => client.close()))
  await server.close()
})

function given() {
  const metadata = protectedResourceMetadata({
    resource: `${server.url}/mcp`,
    authorizationServers: ['https://login.example.com'],
  })
  const guard = requireAuth({ ...issuer.options, resourceMetadataUrl: metadata.url })
  return { metadata, guard }
}

async function connect(sdk: McpSdk, subject: string): Promise<McpClient> {
  const token = await issuer.token({ subject })
  const client = sdk.client(`${server.url}/mcp`, { token: () => token })
  clients.push(client)
  await client.connect()
  return client
}

async function expectKickOut(client: McpClient): Promise<void> {
  await client.openStream()
  expect(await msUntilStreamEnds(client, issuer, 'u1')).toBeLessThan(1_000)
  await expect(client.whoami()).rejects.toThrow()
  const { status, challenge } = client.answers.at(-1)!
  expect(status).toBe(401)
  expect(challenge).toContain(
    `resource_metadata="${server.url}/.well-known/oauth-protected-resource/mcp"`,
  )
}

test('docs/mcp.md has the four samples that run here', () => {
  expect(blocks).toHaveLength(4)
})

describe('the sample of', () => {
  test('SDK v2 runs: a tool knows its user, who is kicked out', async () => {
    const jwks = await listen((_req, res) => {
      res.setHeader('content-type', 'application/json')
      res.end(JSON.stringify(issuer.options.jwks))
    })
    // The one thing that only the network of the reader has: the keys of the issuer.
    const code = blocks[0]!.replace('  revocations,\n', `  revocations, jwksUri: '${jwks.url}',\n`)
    const app = (await runBlock(code, load, {
      addresses: [['https://mcp.example.com', server.url]],
      given: { revocations: issuer.revocations },
      wanted: 'app',
    })) as Express
    serve = app
    const client = await connect(sdkV2Stateless, 'u1')
    expect(await client.say('whoami')).toBe('u1')
    await expectKickOut(client)
    await jwks.close()
  })

  test('SDK v1 runs: sessions belong to their user, who is kicked out', async () => {
    serve = (await runBlock(blocks[1]!, load, {
      given: given(),
      wanted: 'app',
    })) as Express
    const client = await connect(sdkV1, 'u1')
    expect(await client.say('whoami')).toBe('u1')
    const thief = await fetch(`${server.url}/mcp`, {
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${await issuer.token({ subject: 'u2' })}`,
        'mcp-session-id': client.sessionId()!,
      },
    })
    expect(thief.status).toBe(404)
    await expectKickOut(client)
  })

  test.each([
    { name: 'requireBearerAuth of v2', block: 2, sdk: sdkV2Stateless },
    { name: 'requireBearerAuth of v1', block: 3, sdk: sdkV1 },
  ])('$name runs: it lets in and kicks out', async ({ block, sdk }) => {
    const { guard, metadata }: { guard: AuthHandler; metadata: unknown } = given()
    const bearerAuth = (await runBlock(blocks[block]!, load, {
      addresses: [['https://mcp.example.com', server.url]],
      given: { guard, metadata },
      wanted: 'bearerAuth',
    })) as RequestHandler
    const app = express()
    const stop = sdk.serve(app, [bearerAuth, cutOnKickOut()], new Waiting())
    serve = app
    const client = await connect(sdk, 'u1')
    expect(await client.whoami()).toMatchObject({ subject: 'u1' })
    await expectKickOut(client)
    await stop()
  })
})
