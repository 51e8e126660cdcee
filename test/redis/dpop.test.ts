import { expect, test } from '@jest/globals'
import { Redis } from 'ioredis'
import { redisReplayStore } from '../../src/redis/index.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { factsOf, makeGuarded, type Outcome, run } from '../support/guarded.ts'
import { makeSigner } from '../support/make-token.ts'
import { makeProofKey } from '../support/proofs.ts'
import { startRedis } from '../support/redis-server.ts'
import { useCleanup } from './support/deployment.ts'

const { closing, template } = useCleanup()
const publicUrl = 'https://api.test'
const signer = makeSigner('ES256')

/** Two servers with one Redis, and a client with a bound token. */
async function setUp() {
  const redis = closing(await startRedis())
  const replays = [0, 1].map(() => closing(redisReplayStore(template(redis))))
  // A store vouches for proofs that were made after it began to remember.
  for (const replay of replays) await replay.ready?.()
  const clock = new FakeClock(Date.now())
  const servers = replays.map((replay) => {
    const guarded = makeGuarded({ dpop: { publicUrl, replay } }, { clock, signer })
    closing(guarded.guard)
    return guarded
  })
  const key = await makeProofKey('ES256', () => Math.floor(clock.seconds))
  const token = servers[0]?.token({ cnf: { jkt: key.thumbprint } }) ?? ''
  const prove = () => key.prove({ token, htu: `${publicUrl}/` })
  const ask = async (server: number, proof: string): Promise<Outcome> => {
    const authorization = `DPoP ${token}`
    const rawHeaders = ['Authorization', authorization, 'DPoP', proof]
    const req = { method: 'GET', url: '/', headers: { authorization }, rawHeaders }
    return run(servers[server]?.guard ?? [], req)
  }
  return { redis, ask, prove }
}

const replayed = { status: 401, code: 'invalid_dpop_proof', reason: 'replay' }

test('a proof that one server has accepted is refused by the other', async () => {
  const { ask, prove } = await setUp()
  const proof = prove()
  expect((await ask(0, proof)).error).toBeUndefined()
  expect(factsOf((await ask(1, proof)).error)).toEqual(replayed)
  expect((await ask(1, prove())).error).toBeUndefined()
})

test('a proof that was accepted is refused by both after Redis has lost everything', async () => {
  const { redis, ask, prove } = await setUp()
  const proof = prove()
  expect((await ask(0, proof)).error).toBeUndefined()
  const admin = closing(new Redis({ host: redis.host, port: redis.port }))
  await admin.flushall()
  for (const server of [0, 1, 0]) {
    expect(factsOf((await ask(server, proof)).error)).toMatchObject({ status: 401 })
  }
})

test('without Redis a bound token is 503, and no proof is accepted unseen', async () => {
  const { redis, ask, prove } = await setUp()
  expect((await ask(0, prove())).error).toBeUndefined()
  redis.pause()
  const answers = await Promise.all([ask(0, prove()), ask(1, prove())])
  redis.resume()
  expect(answers.map(({ error }) => factsOf(error))).toEqual([
    { status: 503, code: 'temporarily_unavailable', reason: 'replay' },
    { status: 503, code: 'temporarily_unavailable', reason: 'replay' },
  ])
})
