import { expect, test } from '@jest/globals'
import { fetchJson } from '../../../src/guard/keys/fetch-json.ts'
import { serve } from '../../support/raw-http.ts'

const url = new URL('https://a.test/doc')
const limit = 512 * 1024

const ask = async (answer: () => Response, signal = new AbortController().signal) =>
  fetchJson(async () => answer(), url, signal).catch((error: unknown) => String(error))

test('reads JSON from a 200', async () => {
  expect(await ask(() => Response.json({ a: 1 }))).toEqual({ a: 1 })
})
test('reads 512 KiB and no byte more', async () => {
  const text = (size: number) => JSON.stringify('x'.repeat(size - 2))
  expect(await ask(() => new Response(text(limit)))).toHaveLength(limit - 2)
  expect(await ask(() => new Response(text(limit + 1)))).toContain('more than 524288 bytes')
})
test('hangs up on a body without end', async () => {
  let cancelled = false
  const endless = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: () => {
          cancelled = true
        },
      }),
    )
  expect(await ask(endless)).toContain('more than')
  expect(cancelled).toBe(true)
})
test.each([
  [201, 'answered 201'],
  [204, 'answered 204'],
  [301, 'a redirect, which is not followed'],
  [308, 'a redirect, which is not followed'],
  [404, 'answered 404'],
  [500, 'answered 500'],
])('refuses the status %d', async (status, message) => {
  const body = status === 204 ? null : '{}'
  expect(await ask(() => new Response(body, { status }))).toContain(message)
})
test.each(['', '<html>', '{"a":', '\ufeff\ufeff{}', 'NaN'])(
  'refuses the body %j, without quoting it',
  async (body) => {
    expect(await ask(() => new Response(body))).toBe('FetchFailed: did not send JSON')
  },
)
test('refuses invalid UTF-8', async () => {
  expect(await ask(() => new Response(new Uint8Array([0x22, 0xff, 0x22])))).toContain(
    'did not send JSON',
  )
})
test('tells an endpoint that is away from one that is slow', async () => {
  const failing = () => {
    throw new Error('secret detail')
  }
  expect(await ask(failing)).toBe('FetchFailed: could not be reached')
  expect(await ask(failing, AbortSignal.abort())).toBe('FetchFailed: did not answer in time')
})
test('does not follow a redirect over HTTP', async () => {
  let followed = 0
  const server = await serve((req, res) => {
    if (req.url === '/from') res.writeHead(302, { location: '/to' }).end()
    else res.end(String(followed++))
  })
  const asked = fetchJson(fetch, new URL(`${server.url}/from`), new AbortController().signal)
  await expect(asked).rejects.toThrow('a redirect, which is not followed')
  expect(followed).toBe(0)
  await server.close()
})
test('gives up on a server that never ends its body', async () => {
  const server = await serve((_req, res) => {
    res.write('{')
  })
  const asked = fetchJson(fetch, new URL(server.url), AbortSignal.timeout(50))
  await expect(asked).rejects.toThrow('did not answer in time')
  await server.close()
})
