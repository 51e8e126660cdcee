import { createMemoryRevocations } from '../../src/revocation/memory-revocations.ts'
import { describeRevocations } from '../contracts/revocations.contract.ts'
import { FakeClock } from '../support/fake-clock.ts'

describeRevocations('memoryRevocations', {
  hasFakeClock: true,
  async create(options = {}) {
    const clock = new FakeClock()
    const revocations = createMemoryRevocations(options, { clock })
    return {
      revocations,
      close: async () => revocations.close(),
      advance: (ms) => clock.advance(ms),
    }
  },
})
