import { expect, test } from '@jest/globals'
import type { RequestListener } from 'node:http'
import express from 'express'
// @ts-expect-error -- it comes without types
import OidcProvider from 'oidc-provider'
import { memoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { backChannelLogout } from '../../src/signals/index.ts'
import { listen } from '../support/http-client.ts'

/** The little of oidc-provider that sends logout tokens. */
interface Provider {
  callback(): RequestListener
  readonly Client: {
    find(id: string): Promise<{ backchannelLogout(sub: string, sid: string): Promise<void> }>
  }
}

test('a logout at a real oidc-provider kicks out here, and its keys are found by discovery', async () => {
  const api = express()
  const receiver = await listen(api)
  let answer: RequestListener = (_req, res) => res.end()
  const server = await listen((req, res) => {
    answer(req, res)
  })
  const issuer = server.url
  const make = OidcProvider as new (issuer: string, settings: object) => Provider
  const provider = new make(issuer, {
    features: { backchannelLogout: { enabled: true } },
    cookies: { keys: ['a key for tests only'] },
    clients: [
      {
        client_id: 'app',
        client_secret: 'a secret of thirty-two bytes or more',
        redirect_uris: ['https://app.example.com/callback'],
        backchannel_logout_uri: `${receiver.url}/backchannel-logout`,
        backchannel_logout_session_required: true,
      },
    ],
  })
  answer = provider.callback()
  try {
    const revocations = memoryRevocations()
    api.post('/backchannel-logout', backChannelLogout({ issuer, clientId: 'app', revocations }))
    const client = await provider.Client.find('app')
    await client.backchannelLogout('u1', 's1')
    const claims = { iss: issuer, aud: 'api', exp: 4e9, iat: 1_000 }
    expect(await revocations.check({ ...claims, sub: 'u1' })).toMatchObject({ revoked: true })
    expect(await revocations.check({ ...claims, sub: 'u2' })).toMatchObject({ revoked: false })
  } finally {
    await receiver.close()
    await server.close()
  }
})
