import { postgresStore } from '../../../src/postgres/index.ts'
import { describeSessionStore } from '../../contracts/session-store.contract.ts'
import { usePostgres } from '../support/deployment.ts'

const postgres = usePostgres()

describeSessionStore('postgresStore', {
  hasFakeClock: false,
  async create(options = {}) {
    const schema = await postgres.schema()
    const store = postgresStore(postgres.pool(), { schema, ...options })
    return { store, close: async () => store.close() }
  },
})
