import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { answer } from '../processes/child.mjs'

/** Between two questions to one server; asking without a pause would be a load of its own. */
const pauseMs = 1
const agent = new Agent({ keepAlive: true, maxSockets: 256 })
const now = () => Number(process.hrtime.bigint()) / 1e6

async function statusOf(port, token) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` }
    const request = get({ port, path: '/reports', headers, agent }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode))
    })
    request.once('error', reject)
  })
}

/** Asks one server again and again until it refuses; resolves to when that answer had arrived. */
async function untilRefused(port, token, deadline) {
  while (now() < deadline) {
    const status = await statusOf(port, token)
    if (status === 401) return now()
    if (status !== 200) throw new Error(`a probe was answered ${status}`)
    await sleep(pauseMs)
  }
  throw new Error('a kicked-out token was still accepted after 5 s')
}

answer({
  start: () => ({}),
  /** The token has to be good on every server first, and known to it. */
  async assertAccepted({ ports, token }) {
    const statuses = await Promise.all(ports.map(async (port) => statusOf(port, token)))
    if (statuses.some((status) => status !== 200)) throw new Error(`answered ${statuses}`)
  },
  /** Resolves to the moment at which the last of the servers had refused. */
  async lastRefusal({ ports, token }) {
    const deadline = now() + 5000
    return Math.max(
      ...(await Promise.all(ports.map(async (port) => untilRefused(port, token, deadline)))),
    )
  },
})
