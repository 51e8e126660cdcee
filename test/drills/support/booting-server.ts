import express from 'express'
import { Redis } from 'ioredis'
import { redisRevocations } from 'express-kickout/redis'
import { readConfig, serve } from './serve.ts'

const { host, port } = readConfig() as { host: string; port: number }
const revocations = redisRevocations(new Redis({ host, port, lazyConnect: true }))

interface Holds {
  /** The longest time between two turns of the event loop. */
  readonly longestMs: number
  /** The longest by what the processor did in it: on a busy machine a process also stands still without doing anything. */
  readonly longestBusyMs: number
}

function watchLoop(): () => Holds {
  let longestMs = 0
  let longestBusyMs = 0
  let last = performance.now()
  let used = process.cpuUsage()
  let running = true
  const turn = (): void => {
    const now = performance.now()
    const { user, system } = process.cpuUsage(used)
    longestMs = Math.max(longestMs, now - last)
    longestBusyMs = Math.max(longestBusyMs, Math.min(now - last, (user + system) / 1000))
    last = now
    used = process.cpuUsage()
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  return () => {
    running = false
    return { longestMs, longestBusyMs }
  }
}

serve(express(), {
  async boot() {
    const stop = watchLoop()
    const startedAt = performance.now()
    await revocations.ready()
    const liveMs = performance.now() - startedAt
    return { liveMs, entries: revocations.status().entries, ...stop() }
  },
})
