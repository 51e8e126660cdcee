import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { readPage } from '../support/documentation.ts'
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

  beforeAll(async () => {
    const page = readPage('docs/commonjs-and-jest.md')
    const [, sample] = /^```javascript\n([^]*?)^```/m.exec(page) ?? []
    if (sample === undefined) throw new Error('docs/commonjs-and-jest.md shows no test')
    await project.write('documented.test.js', sample)
  })

  test.each(NODES)('on Node %s', async (version) => {
    const printed = await project.node(['node_modules/jest/bin/jest.js', '--ci', '--runInBand'], {
      node: nodes.get(version)!,
      env: { REDIS_URL: redis.url },
    })
    expect(printed).toMatch(/Test Suites: 5 passed, 5 total/)
    expect(printed).not.toMatch(/did not exit|force exited/)
  })
})
