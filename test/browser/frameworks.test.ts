import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { build, type Plugin } from 'esbuild'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { type WebSocket, WebSocketServer } from 'ws'
import { requireAuth } from 'express-kickout'
import { acceptUpgrades, getConnection } from 'express-kickout/websocket'
import { blocksOf, readPage } from '../support/documentation.ts'
import { type ClientStage, setClientStage, shippedClient } from './client-stage.ts'
import { launchBrowser } from './stage.ts'

/* What docs/browser.md shows, bundled with the real frameworks and run in a real browser. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = 'docs/browser.md'

let browser: Browser
let stage: ClientStage
let context: BrowserContext

beforeAll(async () => {
  browser = await launchBrowser()
})
beforeEach(async () => {
  stage = await setClientStage()
  context = await browser.newContext()
})
afterEach(async () => {
  await context.close()
  await stage.close()
})
afterAll(async () => {
  await browser.close()
})

/** The block of the page that has such a line, for the servers of this test. */
function blockWith(line: string): string {
  const block = blocksOf(page, readPage(page)).find(({ shown }) => shown.includes(line))
  if (!block) throw new Error(`No block of ${page} has ${line}`)
  return block.shown
    .replace('https://login.example.com', stage.loginUrl)
    .replace('https://api.example.com', stage.apiUrl)
}

/** One script of a page's own code, which imports the block of the docs as `docs`. */
async function bundle(block: string, code: string): Promise<string> {
  const docs: Plugin = {
    name: 'docs',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^docs$/ }, () => ({ path: 'docs', namespace: 'docs' }))
      onLoad({ filter: /.*/, namespace: 'docs' }, () => ({
        contents: block,
        loader: 'ts',
        resolveDir: root,
      }))
    },
  }
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'iife',
    define: {
      'process.env.NODE_ENV': '"development"',
      __VUE_OPTIONS_API__: 'true',
      __VUE_PROD_DEVTOOLS__: 'false',
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
    },
    alias: { 'express-kickout/client': fileURLToPath(shippedClient) },
    plugins: [docs],
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

/** A page of a user who has signed in, with that script. */
async function openWith(script: string): Promise<Page> {
  const opened = await context.newPage()
  await opened.goto(stage.loginUrl)
  await opened.evaluate(async () => fetch('/login', { method: 'POST' }))
  await opened.addScriptTag({ content: script })
  return opened
}

const untilText = async (opened: Page, text: string): Promise<void> => {
  await opened.locator('#state', { hasText: text }).waitFor()
}

/** The story of a session, as the page draws it. */
async function tellStory(opened: Page): Promise<void> {
  await untilText(opened, 'unknown')
  await opened.evaluate('client.resume()')
  await untilText(opened, 'signed-in ada')
  await stage.issuer.kickOut({ subject: 'ada' })
  await opened.evaluate(`client.fetch('${stage.apiUrl}').catch(() => undefined)`)
  await untilText(opened, 'signed-out')
}

test('React draws what the session is, in strict mode, and lets go of the client', async () => {
  const complaints: string[] = []
  const block = `${blockWith("from 'react'")}\nexport { client }`
  const script = await bundle(
    block,
    `import { createElement, StrictMode } from 'react'
    import { createRoot } from 'react-dom/client'
    import { client, useSession, useSubject } from 'docs'
    let drawn = 0
    const State = () => {
      drawn++
      const { status } = useSession()
      return createElement('p', { id: 'state' }, status, ' ', useSubject())
    }
    const place = document.body.appendChild(document.createElement('div'))
    const root = createRoot(place)
    root.render(createElement(StrictMode, null, createElement(State)))
    Object.assign(window, { client, drawn: () => drawn, unmount: () => root.unmount() })`,
  )
  const opened = await context.newPage()
  opened.on('console', (message) => {
    if (message.type() === 'error' && !message.location().url.endsWith('favicon.ico')) complaints.push(message.text())
  })
  await opened.goto(stage.loginUrl)
  await opened.evaluate(async () => fetch('/login', { method: 'POST' }))
  await opened.addScriptTag({ content: script })
  await untilText(opened, 'unknown')
  await opened.evaluate('client.resume()')
  await untilText(opened, 'signed-in ada')
  // A snapshot that is a new object each time would be drawn for ever.
  const drawn = await opened.evaluate('drawn()')
  await opened.evaluate('new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))')
  expect(await opened.evaluate('drawn()')).toBe(drawn)
  await opened.evaluate('unmount()')
  await opened.evaluate('client.resume()')
  expect(await opened.evaluate('drawn()')).toBe(drawn)
  expect(complaints).toEqual([])
}) // prettier-ignore

test('React tells the whole story, to the kick-out', async () => {
  const block = `${blockWith("from 'react'")}\nexport { client }`
  const script = await bundle(
    block,
    `import { createElement } from 'react'
    import { createRoot } from 'react-dom/client'
    import { client, useSession, useSubject } from 'docs'
    const State = () => createElement('p', { id: 'state' }, useSession().status, ' ', useSubject())
    createRoot(document.body.appendChild(document.createElement('div'))).render(createElement(State))
    Object.assign(window, { client })`,
  )
  await tellStory(await openWith(script))
})

test('React on a server draws a session that is not known yet', async () => {
  const block = `${blockWith("from 'react'")}\nexport { client }`
  const script = await bundle(
    block,
    `import { createElement } from 'react'
    import { renderToString } from 'react-dom/server'
    import { useSession } from 'docs'
    const State = () => createElement('p', null, useSession().status)
    Object.assign(window, { html: renderToString(createElement(State)) })`,
  )
  const opened = await openWith(script)
  expect(await opened.evaluate('html')).toBe('<p>unknown</p>')
})

test('Vue tells the whole story, and lets go of the client when it is unmounted', async () => {
  const script = await bundle(
    blockWith("from 'vue'"),
    `import { createApp, h } from 'vue'
    import { KickoutClient } from 'express-kickout/client'
    import { useSession } from 'docs'
    const client = new KickoutClient({ loginUrl: '${stage.loginUrl}', apiOrigins: ['${stage.apiUrl}'] })
    let listeners = 0
    const { subscribe } = client
    Object.assign(client, { subscribe(listener) {
      listeners++
      const stop = subscribe(listener)
      return () => { listeners--; stop() }
    } })
    const app = createApp({
      setup() {
        const session = useSession(client)
        return () => h('p', { id: 'state' }, session.value.status + ' ' + (session.value.claims?.sub ?? ''))
      },
    })
    app.mount(document.body.appendChild(document.createElement('div')))
    Object.assign(window, { client, unmount: () => app.unmount(), listeners: () => listeners })`,
  )
  const opened = await openWith(script)
  await tellStory(opened)
  expect(await opened.evaluate('listeners()')).toBe(1)
  await opened.evaluate('unmount()')
  expect(await opened.evaluate('listeners()')).toBe(0)
})

test('the WebSocket of the docs goes on with each refreshed token, and a kick-out signs the page out', async () => {
  const server = createServer()
  const wss = new WebSocketServer({ noServer: true })
  const guard = requireAuth({
    issuer: stage.loginUrl,
    audience: 'https://client.example',
    revocations: stage.issuer.revocations,
  })
  acceptUpgrades(server, wss, guard, { allowedOrigins: [stage.loginUrl] })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const extended = new Promise<unknown>((resolve) => {
    wss.on('connection', (ws: WebSocket) => {
      ws.on('message', (data: Buffer) => {
        const { token } = JSON.parse(data.toString()) as { token: string }
        resolve(getConnection(ws).extend(token))
      })
    })
  })
  try {
    const script = await bundle(
      blockWith('export async function openFeed'),
      `import { KickoutClient } from 'express-kickout/client'
      import { openFeed } from 'docs'
      const client = new KickoutClient({ loginUrl: '${stage.loginUrl}', apiOrigins: [] })
      const ended = openFeed(client, 'ws://127.0.0.1:${port}/').then(async (socket) => {
        await new Promise((resolve) => socket.addEventListener('open', resolve))
        Object.assign(window, { isOpen: true })
        return new Promise((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)))
      })
      Object.assign(window, { client, ended })`,
    )
    const opened = await openWith(script)
    await opened.waitForFunction('window.isOpen')
    await opened.evaluate('client.resume()')
    expect(await extended).toMatchObject({ subject: 'ada' })
    await stage.issuer.kickOut({ subject: 'ada' })
    expect(await opened.evaluate('ended')).toBe(4401)
    await opened.waitForFunction("client.snapshot().status === 'signed-out'")
  } finally {
    for (const ws of wss.clients) ws.terminate()
    server.close()
    await guard.close()
  }
})
