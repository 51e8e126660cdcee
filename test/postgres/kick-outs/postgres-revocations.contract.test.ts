import { postgresRevocations } from '../../../src/postgres/index.ts'
import { describeRevocations } from '../../contracts/revocations.contract.ts'
import { usePostgres } from '../support/deployment.ts'

const postgres = usePostgres()

for (const listen of [true, false]) {
  describeRevocations(`postgresRevocations (${listen ? 'LISTEN' : 'polling only'})`, {
    hasFakeClock: false,
    async create(options = {}) {
      const schema = await postgres.schema()
      const revocations = postgresRevocations(postgres.pool(), { schema, listen, ...options })
      await revocations.ready()
      return { revocations, close: async () => revocations.close() }
    },
  })
}
