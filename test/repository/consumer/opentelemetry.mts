// A typed consumer of the entry that needs `@opentelemetry/api`. Compiled, never run.
import { metrics } from '@opentelemetry/api'
import { type GuardStats, memoryRevocations, requireAuth } from 'express-kickout'
import type { Issuer, IssuerStats } from 'express-kickout/issuer'
import { instrument, type InstrumentOptions } from 'express-kickout/opentelemetry'

declare const issuer: Issuer

const revocations = memoryRevocations({ issuer: 'https://login.example.com' })
const guard = requireAuth({
  issuer: 'https://login.example.com',
  audience: 'https://api.example.com',
  revocations,
})
const options: InstrumentOptions = {
  guards: [guard],
  revocations,
  issuer,
  meterProvider: metrics.getMeterProvider(),
}
const stop: () => void = instrument(options)
stop()

const stats: GuardStats = guard.stats()
const refusals: number | undefined = stats.rejected.revoked
const refreshes: IssuerStats['refreshes'] = issuer.stats().refreshes
export default [refusals, refreshes.refreshed]
