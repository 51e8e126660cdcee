import type { Histogram, Meter, ObservableCounter, ObservableGauge } from '@opentelemetry/api'

export interface Instruments {
  readonly requests: ObservableCounter
  readonly fetchDuration: Histogram
  readonly staleness: ObservableGauge
  readonly entries: ObservableGauge
  readonly state: ObservableGauge
  readonly kickOutDuration: Histogram
  readonly unconfirmed: ObservableCounter
  readonly refreshes: ObservableCounter
}

/** For durations in seconds: the defaults of OpenTelemetry are meant for milliseconds. */
const fetchBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const kickOutBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/**
 * Every instrument, under its name of the contract. Units are those of UCUM. The observable ones are read from counters
 * when metrics are collected; the two histograms record an event that is rare.
 */
export function createInstruments(meter: Meter): Instruments {
  return {
    requests: meter.createObservableCounter('express_kickout.auth.requests', {
      unit: '{request}',
      description: 'Requests that a guard has judged, by outcome and by the reason of a refusal',
    }),
    fetchDuration: meter.createHistogram('express_kickout.jwks.fetch.duration', {
      unit: 's',
      description: 'How long fetching a key set took, discovery included',
      advice: { explicitBucketBoundaries: fetchBuckets },
    }),
    staleness: meter.createObservableGauge('express_kickout.revocations.staleness', {
      unit: 's',
      description: 'Age of the proof that the copy of the revocations is complete',
    }),
    entries: meter.createObservableGauge('express_kickout.revocations.entries', {
      unit: '{revocation}',
      description: 'Live revocations that this process holds',
    }),
    state: meter.createObservableGauge('express_kickout.revocations.state', {
      description: '1 for the state that the copy of the revocations is in, 0 for the others',
    }),
    kickOutDuration: meter.createHistogram('express_kickout.kick_out.duration', {
      unit: 's',
      description: 'From the call of kickOut in this process to its answer',
      advice: { explicitBucketBoundaries: kickOutBuckets },
    }),
    unconfirmed: meter.createObservableCounter('express_kickout.kick_out.unconfirmed', {
      unit: '{server}',
      description: 'Resource servers that had not confirmed a kick-out when it was answered',
    }),
    refreshes: meter.createObservableCounter('express_kickout.token.refreshes', {
      unit: '{refresh}',
      description: 'Refreshes that the issuer has answered, by result',
    }),
  }
}
