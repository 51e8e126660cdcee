import { postgresStore } from '../../src/postgres/index.ts'
import { describeRaces } from '../contracts/races.contract.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { usePostgres } from './support/deployment.ts'

const postgres = usePostgres()

/** Tokens bear the moments of a real PostgreSQL, so the guard behind them has to live in the same time. */
class RealTime extends FakeClock {
  override now = () => Date.now()
  override monotonic = () => performance.now()
}

describeRaces('postgresStore', {
  limit: 60,
  async create() {
    const store = postgresStore(postgres.pool(), { schema: await postgres.schema() })
    return { store, clock: new RealTime() }
  },
})
