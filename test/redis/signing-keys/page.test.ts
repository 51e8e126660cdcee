import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { importJWK, jwtVerify } from 'jose'
import {
  createIssuer,
  type ExternalSigningKey,
  type Issuer,
  memoryStore,
} from '../../../src/issuer/index.ts'
import { rotationDefaults } from '../../../src/key-store/key-store.ts'
import { readPage } from '../../support/documentation.ts'
import { makeScratchDir, removeScratchDir } from '../../support/reaper.ts'
import { useRedis } from '../../support/redis-for-tests.ts'
import { loadSample } from '../../support/run-sample.ts'

/* The samples of docs/signing-keys.md, run as they are. */

const page = 'docs/signing-keys.md'
const redis = useRedis()
const audience = 'https://api.example.com'

test('the key store: several processes of it have one key', async () => {
  const environment = {
    REDIS_URL: redis.url,
    KICKOUT_ENCRYPTION_KEY: 'k'.repeat(43),
    REFRESH_TOKEN_SECRET: 'r'.repeat(43),
  }
  const before = { ...process.env }
  Object.assign(process.env, environment)
  const issuers: Issuer[] = []
  try {
    for (let process = 0; process < 2; process++) {
      const sample = (await loadSample(page, 'key-store')) as { issuer: Issuer }
      issuers.push(sample.issuer)
    }
    const tokens = await Promise.all(
      issuers.map(async (issuer) => issuer.startSession({ subject: 'u1' })),
    )
    const kids = tokens.map(({ access_token: token }) => token.split('.')[0])
    expect(new Set(kids).size).toBe(1)
    const { signsAt } = await issuers[0]!.rotateSigningKey()
    const aheadMs = rotationDefaults.publishAheadSeconds * 1000
    expect(Math.abs(signsAt - Date.now() - aheadMs)).toBeLessThan(5000)
  } finally {
    process.env = before
    await Promise.all(issuers.map(async (issuer) => issuer.close()))
  }
})

describe('AWS KMS', () => {
  let dir: string
  beforeAll(() => {
    dir = makeScratchDir()
  })
  afterAll(() => {
    removeScratchDir(dir)
  })

  test('a stand-in that signs digests like it makes tokens that verify', async () => {
    const kms = await standIn(dir)
    const { kmsKey } = (await loadSample(page, 'kms')) as {
      kmsKey(client: object, keyId: string): Promise<ExternalSigningKey>
    }
    const key = await kmsKey(kms, 'alias/login')
    const issuer = createIssuer({
      issuer: 'https://login.example.com',
      audience,
      signingKeys: [key],
      refreshTokenSecret: 's'.repeat(32),
      store: memoryStore(),
      claims: () => ({ long: 'x'.repeat(4000) }),
    })
    await issuer.ready()
    const { access_token: token } = await issuer.startSession({ subject: 'u1' })
    expect(token.length).toBeGreaterThan(5000)
    await jwtVerify(token, await importJWK(key.publicJwk, 'ES256'), { audience, typ: 'at+jwt' })
    expect(kms.lengths.every((length) => length >= 68 && length <= 72)).toBe(true)
    await issuer.close()
  })
})

/** The two calls of AWS KMS that the sample makes, with a key of node:crypto and the ECDSA of OpenSSL over a digest. */
async function standIn(dir: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = join(dir, 'key.pem')
  await writeFile(pem, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
  const lengths: number[] = []
  return {
    /** Of the signatures. */
    lengths,
    async getPublicKey(input: { KeyId: string }) {
      expect(input).toEqual({ KeyId: 'alias/login' })
      const spki = publicKey.export({ format: 'der', type: 'spki' })
      return Promise.resolve({ PublicKey: new Uint8Array(spki) })
    },
    async sign(input: { Message: Uint8Array; MessageType: string; SigningAlgorithm: string }) {
      expect(input).toMatchObject({ MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' })
      expect(input.Message).toHaveLength(32)
      const digest = join(dir, 'digest')
      await writeFile(digest, input.Message)
      const { stdout } = await promisify(execFile)(
        'openssl',
        ['pkeyutl', '-sign', '-inkey', pem, '-in', digest],
        { encoding: 'buffer' },
      )
      lengths.push(stdout.byteLength)
      return { Signature: new Uint8Array(stdout) }
    },
  }
}

test('the page names the defaults of the source', () => {
  const text = readPage(page)
  for (const [option, value] of Object.entries(rotationDefaults)) {
    expect(text).toContain(`| \`${option}\` | \`${value}\` |`)
  }
})
