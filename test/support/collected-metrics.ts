import type { Attributes, MeterProvider as Provider } from '@opentelemetry/api'
import { DataPointType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'

/** Reads the metrics of the real SDK when a test asks. */
class AskedReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {
    await Promise.resolve()
  }

  protected override async onShutdown(): Promise<void> {
    await Promise.resolve()
  }
}

export interface Point {
  readonly attributes: Attributes
  /** A number, or of a histogram how many were recorded. */
  readonly value: number
  /** Of a histogram. */
  readonly sum?: number
}

export interface CollectedMetric {
  readonly unit: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly points: readonly Point[]
}

export interface Metrics {
  readonly provider: Provider
  /** All metrics by name. */
  collect(): Promise<Readonly<Record<string, CollectedMetric>>>
  /** The value of the one point with these attributes, 0 where there is none. */
  valueOf(name: string, attributes?: Attributes): Promise<number>
  close(): Promise<void>
}

/** A meter provider of the real SDK that is read on demand. */
export function collectMetrics(): Metrics {
  const reader = new AskedReader()
  const provider = new MeterProvider({ readers: [reader] })
  async function collect(): Promise<Readonly<Record<string, CollectedMetric>>> {
    const { resourceMetrics, errors } = await reader.collect()
    if (errors.length > 0) throw new AggregateError(errors, 'Metrics could not be collected')
    const metrics = resourceMetrics.scopeMetrics.flatMap(({ metrics: all }) => all)
    return Object.fromEntries(
      metrics.map((metric): [string, CollectedMetric] => {
        const { name, unit } = metric.descriptor
        const points = metric.dataPoints.map(({ attributes, value }): Point => {
          if (typeof value === 'number') return { attributes, value }
          return { attributes, value: value.count, ...('sum' in value && { sum: value.sum ?? 0 }) }
        })
        const isGauge = metric.dataPointType === DataPointType.GAUGE
        const isSum = metric.dataPointType === DataPointType.SUM
        return [name, { unit, kind: isGauge ? 'gauge' : isSum ? 'counter' : 'histogram', points }]
      }),
    )
  }
  return {
    provider,
    collect,
    async valueOf(name, attributes = {}) {
      const { [name]: metric } = await collect()
      const wanted = JSON.stringify(Object.entries(attributes).sort())
      const found = metric?.points.filter(
        (point) => JSON.stringify(Object.entries(point.attributes).sort()) === wanted,
      )
      return found?.[0]?.value ?? 0
    },
    close: async () => provider.shutdown(),
  }
}
