import { expect, test } from '@jest/globals'
import express from 'express'
import supertest from 'supertest'
import { createIssuer, generateSigningKey, memoryStore } from 'express-kickout/issuer'
import { StalenessRecord } from '../../example-app/staleness-record.ts'

test('keeps five minutes of every server that was seen, and says where one was not', async () => {
  const issuer = createIssuer({
    issuer: 'https://login.example',
    audience: 'https://api.example',
    store: memoryStore(),
    signingKeys: [await generateSigningKey('ES256')],
    refreshTokenSecret: 'x'.repeat(32),
  })
  const seen: (Record<string, number> | undefined)[] = []
  const revocations = {
    ...issuer.revocations,
    async listServers() {
      const servers = seen.shift()
      if (!servers) throw new Error('the store is away')
      return Object.entries(servers).map(([serverId, stalenessMs]) => {
        return { serverId, stalenessMs, state: 'live' as const, applied: 0 }
      })
    },
  }
  // Samples are taken below, and by no timer meanwhile.
  const record = new StalenessRecord(revocations, 3_600_000)
  const read = async (): Promise<unknown> => {
    const app = express().get('/', record.handler)
    return (await supertest(app).get('/')).body
  }
  try {
    seen.push({ a: 1.4 }, undefined, { a: 3, b: 40 })
    for (let sample = 0; sample < 3; sample++) await record.sample()
    expect(await read()).toEqual({
      every_ms: 3_600_000,
      servers: [
        { server_id: 'a', staleness_ms: [1, null, 3] },
        { server_id: 'b', staleness_ms: [null, null, 40] },
      ],
    })
    for (let sample = 0; sample < 150; sample++) {
      seen.push({ c: sample })
      await record.sample()
    }
    const values = Array.from({ length: 150 }, (_none, sample) => sample)
    expect(await read()).toEqual({
      every_ms: 3_600_000,
      servers: [{ server_id: 'c', staleness_ms: values }],
    })
  } finally {
    record.close()
    await issuer.close()
  }
})
