import { randomUUID } from 'node:crypto'
import { memoryReplayStore } from 'express-kickout'
import { answer, memoryAfterCollection } from '../processes/child.mjs'

let store

answer({
  start() {
    store = memoryReplayStore()
    return {}
  },
  /** Claims ids until so many are refused because there is no room. */
  async flood({ claims }) {
    const outcomes = { claimed: 0, refused: 0 }
    for (let claim = 0; claim < claims; claim++) {
      try {
        await store.claim('dpop', `${'k'.repeat(43)} ${randomUUID()}`, 600_000)
        outcomes.claimed++
      } catch (error) {
        if (error.status !== 503) throw error
        outcomes.refused++
      }
    }
    return { ...outcomes, memory: await memoryAfterCollection() }
  },
})
