import type { Express, RequestHandler } from 'express'
import type { TestIssuer } from '../../src/testing/index.ts'
import { waitUntil } from '../support/wait.ts'

/** What a client of the SDK is given. */
export interface ClientSetup {
  /** The access token of each request; the SDK's own sign-in where it is absent. */
  token?: () => string
  /** An `OAuthClientProvider` of the SDK. */
  authProvider?: unknown
}

interface Streams {
  opened: number
  ended: number
}

/** The SDK's errors and the answers that it got, which tell more. */
export interface McpClient {
  /** Calls the tool that says whose token came with the call. */
  whoami(): Promise<unknown>
  /** Calls a tool that answers with a text. */
  say(tool: string): Promise<string>
  /** Calls the tool that answers when the test says so. */
  wait(): Promise<unknown>
  /** Status and `WWW-Authenticate` of each answer, the newest last. */
  readonly answers: { status: number; challenge: string | null }[]
  /** Streams for what the server has to tell: how many were opened, and how many of them the server has ended. */
  readonly streams: Streams
  /** Streams that carry the answer of one call. */
  readonly answerStreams: Streams
  /** With the code that the authorization server sent back; the next connection uses what comes of it. */
  finishAuth(callback: URLSearchParams): Promise<void>
  connect(): Promise<void>
  /** Opens what the server sends its notifications over, unless `connect` has. */
  openStream(): Promise<void>
  /** Of servers with sessions. */
  sessionId(): string | undefined
  close(): Promise<void>
}

/** One version of the SDK, or one way to serve with it. */
export interface McpSdk {
  readonly name: string
  /** Serves MCP at `/mcp` behind these handlers. */
  serve(app: Express, handlers: RequestHandler[], waiting: Waiting): () => Promise<void>
  client(url: string, setup: ClientSetup): McpClient
  /** The SDK's `OAuthClientProvider` of a machine. */
  machine(options: { clientId: string; clientSecret: string; expectedIssuer: string }): unknown
}

/** Calls of the tool `wait`: how many there are, and the way to let them end. */
export class Waiting {
  started = 0
  #release: () => void = () => undefined
  readonly #released = new Promise<void>((resolve) => (this.#release = resolve))

  async untilReleased(): Promise<void> {
    this.started += 1
    await this.#released
  }
  release(): void {
    this.#release()
  }
}

/** `fetch` for an SDK's client: keeps answers, and sees streams open and end. */
export function watchedFetch({ token }: ClientSetup): Pick<
  McpClient,
  'answers' | 'streams' | 'answerStreams'
> & {
  fetch: typeof fetch
} {
  const answers: McpClient['answers'] = []
  const streams = { opened: 0, ended: 0 }
  const answerStreams = { opened: 0, ended: 0 }
  return {
    answers,
    streams,
    answerStreams,
    fetch: async (input, init) => {
      const headers = new Headers(init?.headers)
      if (token) headers.set('authorization', `Bearer ${token()}`)
      const answer = await fetch(input, { ...init, headers })
      answers.push({
        status: answer.status,
        challenge: answer.headers.get('www-authenticate'),
      })
      const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream')
      if (!isStream || !answer.body) return answer
      const isForNews =
        init?.method === 'GET' ||
        (typeof init?.body === 'string' && init.body.includes('"subscriptions/listen"'))
      const counted = isForNews ? streams : answerStreams
      counted.opened += 1
      const watch = new TransformStream({ flush: () => void (counted.ended += 1) })
      return new Response(answer.body.pipeThrough(watch), answer)
    },
  }
}

/** Kicks a user out and tells how long the client's open stream outlived that, milliseconds. */
export async function msUntilStreamEnds(
  { streams }: McpClient,
  issuer: TestIssuer,
  subject: string,
): Promise<number> {
  const open = streams.ended
  const startedAt = performance.now()
  await issuer.kickOut({ subject })
  await waitUntil(() => streams.ended > open, { what: 'the end of the stream', everyMs: 1 })
  return performance.now() - startedAt
}
