import { randomUUID } from 'node:crypto'
import express, { type RequestHandler } from 'express'
import {
  Client,
  ClientCredentialsProvider,
  type OAuthClientProvider,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { getAuth } from '../../src/index.ts'
import { waitUntil } from '../support/wait.ts'
import {
  type ClientSetup,
  type McpClient,
  type McpSdk,
  watchedFetch,
  type Waiting,
} from './mcp-sdk.ts'

const text = (value: unknown) => ({
  content: [{ type: 'text' as const, text: JSON.stringify(value) }],
})

function makeServer(waiting: Waiting): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Whose token this is' }, ({ http }) => {
    const { subject, scopes } = getAuth({ auth: http?.authInfo })
    return text({ subject, scopes })
  })
  server.registerTool('wait', { description: 'Takes its time' }, async () => {
    await waiting.untilReleased()
    return text('done')
  })
  return server
}

function makeClient(
  url: string,
  setup: ClientSetup,
  makes: { client: Client; listens: boolean },
): McpClient {
  const { client, listens } = makes
  const watched = watchedFetch(setup)
  const makeTransport = () =>
    new StreamableHTTPClientTransport(new URL(url), {
      fetch: watched.fetch,
      ...(setup.authProvider !== undefined && {
        authProvider: setup.authProvider as OAuthClientProvider,
      }),
    })
  let transport = makeTransport()
  const say = async (name: string): Promise<string> => {
    const { content } = await client.callTool({ name })
    return (content as { text: string }[])[0]!.text
  }
  return {
    ...watched,
    say,
    whoami: async () => JSON.parse(await say('whoami')) as unknown,
    wait: async () => say('wait'),
    sessionId: () => transport.sessionId,
    finishAuth: async (callback) => transport.finishAuth(callback),
    async connect() {
      transport = makeTransport()
      await client.connect(transport)
    },
    async openStream() {
      if (listens) await client.listen({ toolsListChanged: true })
      await waitUntil(() => watched.streams.opened > watched.streams.ended, { what: 'the stream' })
    },
    close: async () => client.close(),
  }
}

const about = { name: 'assistant', version: '2.0.0' }

/** With sessions, as in the protocol until 2025: the client opens a stream of its own. */
export const sdkV2Sessions: McpSdk = {
  name: 'SDK v2, sessions',

  serve(app, handlers, waiting) {
    const sessions = new Map<string, NodeStreamableHTTPServerTransport>()
    const answer: RequestHandler = async (req, res) => {
      const id = req.headers['mcp-session-id']
      let transport = typeof id === 'string' ? sessions.get(id) : undefined
      if (!transport) {
        const made = new NodeStreamableHTTPServerTransport({
          sessionIdGenerator: randomUUID,
          onsessioninitialized: (session) => void sessions.set(session, made),
        })
        transport = made
        await makeServer(waiting).connect(made)
      }
      await transport.handleRequest(req, res, req.body)
    }
    app.all('/mcp', ...handlers, express.json(), answer)
    return async () => {
      await Promise.all([...sessions.values()].map(async (transport) => transport.close()))
    }
  },

  machine: (options) => new ClientCredentialsProvider(options),

  client: (url, setup) => makeClient(url, setup, { client: new Client(about), listens: false }),
}

/** Without sessions, as in the protocol of 2026-07-28: `subscriptions/listen` is the open stream. */
export const sdkV2Stateless: McpSdk = {
  name: 'SDK v2, subscriptions/listen',

  serve(app, handlers, waiting) {
    const handler = createMcpHandler(() => makeServer(waiting))
    const answer = toNodeHandler(handler)
    app.all('/mcp', ...handlers, express.json(), async (req, res) => answer(req, res, req.body))
    return async () => handler.close()
  },

  machine: (options) => new ClientCredentialsProvider(options),

  client: (url, setup) =>
    makeClient(url, setup, {
      client: new Client(about, { versionNegotiation: { mode: { pin: '2026-07-28' } } }),
      listens: true,
    }),
}
