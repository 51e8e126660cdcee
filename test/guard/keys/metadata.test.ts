import { expect, test } from '@jest/globals'
import { discoverEndpoint, metadataUrls } from '../../../src/guard/keys/metadata.ts'

const inserted = '/.well-known/oauth-authorization-server'
const openid = '/.well-known/openid-configuration'
const never = new AbortController().signal

test.each([
  ['https://a.test', [`https://a.test${inserted}`, `https://a.test${openid}`]],
  ['https://a.test/', [`https://a.test${inserted}`, `https://a.test${openid}`]],
  [
    'https://a.test/t1',
    [`https://a.test${inserted}/t1`, `https://a.test/t1${inserted}`, `https://a.test/t1${openid}`],
  ],
  [
    'https://a.test/t1/v2/',
    [
      `https://a.test${inserted}/t1/v2`,
      `https://a.test/t1/v2${inserted}`,
      `https://a.test/t1/v2${openid}`,
    ],
  ],
])('looks for the metadata of %s in this order', (issuer, urls) => {
  expect(metadataUrls(issuer).map(({ href }) => href)).toEqual(urls)
})

async function discover(issuer: string, answers: Record<string, () => Response>) {
  const asked: string[] = []
  const fetch = async (url: string) => {
    asked.push(url)
    const answer = answers[url]
    if (answer === undefined) return new Response('no', { status: 404 })
    return answer()
  }
  const found = await discoverEndpoint('jwks_uri', fetch, issuer, never).then(
    ({ href }) => href,
    (error: unknown) => String(error),
  )
  return { found, asked: asked.length }
}
const metadata = (issuer: unknown, jwksUri: unknown) => () =>
  Response.json({ issuer, jwks_uri: jwksUri })
const issuer = 'https://a.test/t1'
const places = metadataUrls(issuer).map(({ href }) => href)

test.each([0, 1, 2])('finds it at place %d and asks no further', async (place) => {
  const keys = 'https://keys.test/jwks'
  const answers = Object.fromEntries(
    places.slice(place).map((url) => [url, metadata(issuer, keys)]),
  )
  expect(await discover(issuer, answers)).toEqual({ found: keys, asked: place + 1 })
})
test.each([
  ['HTML', () => new Response('<html>')],
  [
    'a redirect',
    () => new Response(null, { status: 302, headers: { location: 'https://evil.test' } }),
  ],
  ['a 500', () => new Response('', { status: 500 })],
])('goes on to the next place after %s', async (_name, answer) => {
  const keys = 'https://keys.test/jwks'
  const answers = { [places[0]!]: answer, [places[1]!]: metadata(issuer, keys) }
  expect(await discover(issuer, answers)).toEqual({ found: keys, asked: 2 })
})
test('gives up at once when there is no answer at all', async () => {
  const down = () => {
    throw new Error('ECONNREFUSED')
  }
  expect(await discover(issuer, { [places[0]!]: down })).toMatchObject({ asked: 1 })
})
test('fails when no place has it', async () => {
  expect(await discover(issuer, {})).toEqual({
    found: 'FetchFailed: has no metadata at any well-known place',
    asked: 3,
  })
})
test.each([`${issuer}/`, 'https://a.test', 'https://evil.test', ''])(
  'refuses metadata that names the issuer %j',
  async (named) => {
    const { found } = await discover(issuer, { [places[0]!]: metadata(named, 'https://a.test/k') })
    expect(found).toMatch(/^DiscoveryRefused: .*another issuer/)
  },
)
test.each([
  undefined,
  7,
  '',
  'not a url',
  'http://keys.test/jwks',
  'file:///etc/passwd',
  'data:,{}',
])('refuses the jwks_uri %j', async (jwksUri) => {
  const { found } = await discover(issuer, { [places[0]!]: metadata(issuer, jwksUri) })
  expect(found).toMatch(/^DiscoveryRefused: .*jwks_uri/)
})
test('an issuer that is reached over https has no keys over http, on no host', async () => {
  const keys = 'http://127.0.0.1:3000/jwks'
  const { found } = await discover(issuer, { [places[0]!]: metadata(issuer, keys) })
  expect(found).toMatch(/^DiscoveryRefused: .*not https, while the issuer is/)
})
test.each([undefined, null, [issuer], 7])(
  'JSON whose issuer is %j is no metadata: the next place is tried',
  async (named) => {
    const { found, asked } = await discover(issuer, {
      [places[0]!]: metadata(named, 'https://a.test/k'),
      [places[1]!]: metadata(issuer, 'https://a.test/k2'),
    })
    expect([found, asked]).toEqual(['https://a.test/k2', 2])
  },
)
