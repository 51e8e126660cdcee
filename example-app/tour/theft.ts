import type { Servers } from '../servers.ts'
import { BoundDevice, readNotesWith } from './bound-device.ts'
import { expectEqual, step } from './narrator.ts'

async function errorOf(answer: Response): Promise<string> {
  const { error } = (await answer.json()) as { error: string }
  return error
}

/** Tokens that are bound to a key (DPoP), and a thief who has all of them but not the key. */
export async function tellTheft(servers: Servers): Promise<void> {
  const tablet = await BoundDevice.create(servers)
  const thief = await BoundDevice.create(servers)
  const urls = servers.apiUrls.map((api) => `${api}/notes`)
  const [url = ''] = urls

  await step('Ben signs in on a tablet that has a key of its own', async () => {
    await tablet.signIn('ben', 'tablet')
    expectEqual('the tablet reads', await tablet.readNotes(), '200')
    expectEqual('the refresh', (await tablet.refresh()).status, 200)
    expectEqual('the tablet reads', await tablet.readNotes(), '200')
    return 'each request has a proof that the tablet signs; the key never leaves it'
  })

  await step('A thief has the access token', async () => {
    const { access_token: stolen } = tablet.tokens
    for (const each of urls) {
      const plain = await readNotesWith(each, { Authorization: `Bearer ${stolen}` })
      expectEqual('the token as a bearer', plain, 401)
    }
    expectEqual('the token with a key of the thief', await thief.readNotes(stolen), '401')
    return '401 as a bearer, 401 with another key'
  })

  await step('A thief has a whole request, proof and all', async () => {
    const { access_token: token } = tablet.tokens
    const DPoP = await tablet.prove('GET', url, token)
    const recorded = { Authorization: `DPoP ${token}`, DPoP }
    expectEqual('the request of the tablet', await readNotesWith(url, recorded), 200)
    for (const each of urls) {
      expectEqual('the same request again', await readNotesWith(each, recorded), 401)
    }
    return '200 the first time, 401 from then on, on every server'
  })

  await step('A thief has the refresh token, and the one before it', async () => {
    const { refresh_token: previous } = tablet.tokens
    expectEqual('the refresh of the tablet', (await tablet.refresh()).status, 200)
    const { refresh_token: current } = tablet.tokens
    for (const stolen of [previous, current]) {
      const refused = await thief.refresh(stolen)
      expectEqual('the thief', refused.status, 400)
      expectEqual('the error', await errorOf(refused), 'invalid_grant')
    }
    expectEqual('the tablet refreshes', (await tablet.refresh()).status, 200)
    expectEqual('the tablet reads', await tablet.readNotes(), '200')
    return '400 for both, and nothing changes: the tablet goes on'
  })
}
