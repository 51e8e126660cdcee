import { randomUUID } from 'node:crypto'
import express, { type RequestHandler } from 'express'
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { getAuth } from '../../src/index.ts'
import { waitUntil } from '../support/wait.ts'
import { type McpSdk, watchedFetch, type Waiting } from './mcp-sdk.ts'

const text = (value: unknown) => ({
  content: [{ type: 'text' as const, text: JSON.stringify(value) }],
})

function makeServer(waiting: Waiting): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Whose token this is' }, ({ authInfo }) => {
    const { subject, scopes } = getAuth({ auth: authInfo })
    return text({ subject, scopes })
  })
  server.registerTool('wait', { description: 'Takes its time' }, async () => {
    await waiting.untilReleased()
    return text('done')
  })
  return server
}

/** With sessions: the client opens a stream of its own for what the server has to tell. */
export const sdkV1: McpSdk = {
  name: 'SDK v1, sessions',

  serve(app, handlers, waiting) {
    const sessions = new Map<string, StreamableHTTPServerTransport>()
    const answer: RequestHandler = async (req, res) => {
      const id = req.headers['mcp-session-id']
      let transport = typeof id === 'string' ? sessions.get(id) : undefined
      if (!transport) {
        const made = new StreamableHTTPServerTransport({
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

  client(url, setup) {
    const watched = watchedFetch(setup)
    const makeTransport = () =>
      new StreamableHTTPClientTransport(new URL(url), {
        fetch: watched.fetch,
        ...(setup.authProvider !== undefined && {
          authProvider: setup.authProvider as OAuthClientProvider,
        }),
      })
    let transport = makeTransport()
    const client = new Client({ name: 'assistant', version: '1.0.0' })
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
      finishAuth: async (callback) => transport.finishAuth(callback.get('code') ?? ''),
      async connect() {
        transport = makeTransport()
        await client.connect(transport)
      },
      async openStream() {
        // The client opens it by itself, without waiting for it.
        await waitUntil(() => watched.streams.opened > watched.streams.ended, {
          what: 'the stream',
        })
      },
      close: async () => client.close(),
    }
  },
}
