import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { decodeProtectedHeader } from 'jose'
import { generateSigningKey } from '../../src/issuer/index.ts'
import { publishAheadMs, toleranceRoomMs } from '../../src/issuer/keys/signing-keys.ts'
import { send } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit, type Kit } from '../support/issuer-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'

closeKitsAfterEach()

let clock: FakeClock

/** The issuer reads its keys' moments from `Date`, everything else in a kit from the kit's clock: both move together. */
function advance(ms: number): void {
  clock.advance(ms)
  jest.setSystemTime(clock.now())
}

beforeEach(() => {
  clock = new FakeClock()
  const doNotFake = ['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate', 'setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const // prettier-ignore
  jest.useFakeTimers({ now: clock.now(), doNotFake: [...doNotFake] })
})

afterEach(() => {
  jest.useRealTimers()
})

async function publishedBy(kit: Kit): Promise<string[]> {
  const { json } = await send(`${kit.base}/.well-known/jwks.json`)
  return (json.keys as { kid: string }[]).map(({ kid }) => kid)
}

async function newToken(kit: Kit): Promise<{ kid: string | undefined; token: string }> {
  const { access_token: token } = await kit.startSession()
  return { kid: decodeProtectedHeader(token).kid, token }
}

test.each(['ES256', 'RS256', 'EdDSA'])(
  'a new %s key is published at once and signs once everybody can know it; no one is thrown out',
  async (algorithm) => {
    const kit = await createKit({ clock })
    const [oldKid = ''] = await publishedBy(kit)
    const key = await generateSigningKey(algorithm)
    const before = await newToken(kit)
    expect((await kit.call(before.token)).status).toBe(200)

    const { kid, signsAt } = await kit.issuer.rotateSigningKey(key)
    expect(kid).toBe(key.kid)
    expect(signsAt).toBe(clock.now() + publishAheadMs)
    expect(await publishedBy(kit)).toEqual([kid, oldKid])
    expect((await newToken(kit)).kid).toBe(oldKid)

    advance(publishAheadMs - 1)
    const last = await newToken(kit)
    expect(last.kid).toBe(oldKid)
    advance(1)
    const first = await newToken(kit)
    expect(first.kid).toBe(kid)
    expect((await kit.call(last.token)).status).toBe(200)
    expect((await kit.call(first.token)).status).toBe(200)

    advance(600_000 + toleranceRoomMs - 1)
    expect(await publishedBy(kit)).toEqual([kid, oldKid])
    advance(1)
    expect(await publishedBy(kit)).toEqual([kid])
  },
)

test('an access token of the key before can be revoked as long as it lives', async () => {
  const kit = await createKit({ clock })
  await kit.issuer.rotateSigningKey(await generateSigningKey())
  advance(publishAheadMs - 1)
  const last = await newToken(kit)
  advance(500_000)
  expect((await kit.call(last.token)).status).toBe(200)
  await kit.revoke(last.token)
  expect((await kit.call(last.token)).status).toBe(401)
})

test('refresh tokens and sessions know nothing of signing keys', async () => {
  const kit = await createKit({ clock })
  const { refresh_token: token } = await kit.startSession()
  await kit.issuer.rotateSigningKey(await generateSigningKey())
  advance(publishAheadMs)
  const renewed = await kit.refresh(token)
  expect(renewed.status).toBe(200)
  expect((await kit.call(renewed.json.access_token)).status).toBe(200)
})

test('a key that is published already is refused, and changes nothing', async () => {
  const kit = await createKit({ clock })
  const key = await generateSigningKey()
  await kit.issuer.rotateSigningKey(key)
  await expect(kit.issuer.rotateSigningKey(key)).rejects.toThrow(TypeError)
  expect(await publishedBy(kit)).toHaveLength(2)
})
