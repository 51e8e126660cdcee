import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { makeProject, NODES, nodeOf, OPTIONAL_PEERS, type Project } from './support/project.ts'

/* CommonJS and Jest as `npm init -y` and `npm install jest` leave them: no configuration, no flags. */

const JESTS = [
  { jest: '^30', express: '^5', ioredis: '^6' },
  { jest: '^29', express: '^4.21', ioredis: '^5' },
]

let redis: RedisServer
const nodes = new Map<string, string>()

beforeAll(async () => {
  redis = await startRedis()
  for (const version of NODES) nodes.set(version, await nodeOf(version))
})

afterAll(() => redis.stop())

describe.each(JESTS)('Jest $jest, Express $express', (packages) => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({
      files: 'jest',
      packages: { ...OPTIONAL_PEERS, ...packages, supertest: '^7' },
    })
  })

  test.each(NODES)('on Node %s', async (version) => {
    const printed = await project.node(['node_modules/jest/bin/jest.js', '--ci', '--runInBand'], {
      node: nodes.get(version)!,
      env: { REDIS_URL: redis.url },
    })
    expect(printed).toMatch(/Test Suites: 4 passed, 4 total/)
    expect(printed).not.toMatch(/did not exit|force exited/)
  })
})
