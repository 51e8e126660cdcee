import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { parser } from '@prometheus-io/lezer-promql'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import {
  type AuthHandler,
  type GuardEvent,
  memoryRevocations,
  requireAuth,
  type Revocations,
} from '../../src/index.ts'
import { instrument } from '../../src/opentelemetry/index.ts'
import { createTestIssuer } from '../../src/testing/index.ts'
import { readPage } from '../support/documentation.ts'
import { listen } from '../support/http-client.ts'
import { closeKitsAfterEach, createKit } from '../support/issuer-kit.ts'
import { loadSample } from '../support/run-sample.ts'

/*
 * docs/metrics.md and docs/grafana-dashboard.json against what the exporter of OpenTelemetry writes of a guard, revocations
 * and an issuer that have something to tell.
 */

const page = readPage('docs/metrics.md')
const dashboard = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/grafana-dashboard.json'), 'utf8'),
) as Dashboard

interface Target {
  readonly expr: string
  readonly legendFormat: string
  readonly datasource: { readonly uid: string }
}
interface Dashboard {
  readonly templating: { readonly list: readonly { readonly name: string }[] }
  readonly panels: readonly {
    readonly id: number
    readonly title: string
    readonly description: string
    readonly gridPos: {
      readonly x: number
      readonly y: number
      readonly w: number
      readonly h: number
    }
    readonly targets: readonly Target[]
  }[]
}

/** Labels by the names that Prometheus gets, of every series that was written. */
type Exposed = ReadonlyMap<string, ReadonlySet<string>>

/** What Prometheus adds to each series itself. */
const ownLabels = ['instance', 'job']
const request = { headers: {}, rawHeaders: [] }

closeKitsAfterEach()

let exposed: Exposed
let text: string

beforeAll(async () => {
  text = await exposition()
  exposed = readExposition(text)
})

describe('an expression', () => {
  test('is read with its metrics and labels', () => {
    expect(partsOf('sum by (a) (rate(x{b="1"}[5m])) or {__name__=~"y(_s)?", c!=""}')).toEqual([
      { metric: 'x', labels: ['b'] },
      { metric: 'y(_s)?', labels: ['c'] },
    ])
    expect(() => partsOf('sum(x{a=})')).toThrow('cannot be parsed')
  })
  test('that names what is not exposed is found', () => {
    const unknown = { metric: 'express_kickout_nothing', labels: [] }
    expect(problemsOf('express_kickout_nothing', exposed)).toEqual([unknown])
    const labels = 'express_kickout_auth_requests_total{user="u1"}'
    expect(problemsOf(labels, exposed)).toHaveLength(1)
  })
})

describe('the dashboard', () => {
  const targets = dashboard.panels.flatMap(({ targets: of }) => of)

  test('names metrics and labels that there are, in expressions that parse', () => {
    expect(targets.flatMap(({ expr }) => problemsOf(expr, exposed))).toEqual([])
  })
  test('shows every metric', () => {
    const shown = targets.flatMap(({ expr }) => metricsOf(expr, exposed).map(familyOf))
    expect([...new Set(shown)].sort()).toEqual(
      [...new Set([...exposed.keys()].map(familyOf))].sort(),
    )
  })
  test('names in legends only labels that the expression keeps', () => {
    for (const { expr, legendFormat } of targets) {
      const kept = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = '']) =>
        names.split(/,\s*/),
      )
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name)
      expect(kept).toEqual(expect.arrayContaining(named))
    }
  })
  test('has panels with a title, a description and an id of their own that do not overlap', () => {
    const { panels } = dashboard
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)} ${y + Math.floor(n / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    for (const { title, description } of panels) expect(title && description).not.toBe('')
  })
  test('uses the variables that it declares', () => {
    const declared = dashboard.templating.list.map(({ name }) => name)
    const built = ['__rate_interval', '__all']
    const used = JSON.stringify(dashboard).matchAll(/\$\{?(\w+)\}?/g)
    expect([...declared, ...built]).toEqual(
      expect.arrayContaining([...new Set([...used].map(([, name]) => name))]),
    )
  })
})

describe('the alerts', () => {
  const alerts = [...page.matchAll(/- alert: (\w+)\n\s+expr: (.*)\n/g)]

  test('are four, each with what to do', () => {
    expect(alerts).toHaveLength(4)
    expect(page.match(/^ +remedy: '/gm)).toHaveLength(4)
  })
  test.each(alerts.map(([, name = '', expr = '']) => [name, expr]))('%s', (_name, expr) => {
    expect(problemsOf(expr, exposed)).toEqual([])
  })
  test('name only values that a label can have', () => {
    const values: Record<string, string[]> = {
      state: ['starting', 'live', 'stale', 'closed'],
      outcome: ['accepted', 'anonymous', 'rejected', 'unavailable', 'failed', 'forbidden'],
      result: [...text.matchAll(/result="(\w+)"/g)].map(([, result = '']) => result),
    }
    for (const expr of [...alerts.map(([, , of = '']) => of), ...expressionsOf(dashboard)]) {
      for (const [, label = '', list = ''] of expr.matchAll(/(\w+)[=!]~?"([^"]+)"/g)) {
        if (label in values) expect(values[label]).toEqual(expect.arrayContaining(list.split('|')))
      }
    }
  })
})

test('the page lists every metric, result, state and outcome', () => {
  for (const name of new Set([...exposed.keys()].map(familyOf))) {
    expect(page.replaceAll('.', '_')).toContain(`| \`${name}\` |`)
  }
  for (const label of ['result', 'state', 'outcome', 'level']) {
    for (const [, value] of text.matchAll(new RegExp(`${label}="(\\w+)"`, 'g'))) {
      expect(page).toContain(`\`${value}\``)
    }
  }
})

describe('the samples', () => {
  const stops: (() => unknown)[] = []
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop()
  })

  test('prom-client counts refusals and fetches, and reads the rest when it is asked', async () => {
    const sample = (await loadSample('docs/metrics.md', 'prom-client')) as {
      countEvents(registry: Registry): (event: GuardEvent) => void
      readCounters(guard: AuthHandler, revocations: Revocations, registry: Registry): void
    }
    const registry = new Registry()
    const issuer = createTestIssuer()
    const { jwks, ...options } = issuer.options
    const keys = await listen((_req, res) => void res.end(JSON.stringify(jwks)))
    stops.push(async () => keys.close())
    const onEvent = sample.countEvents(registry)
    const guard = requireAuth({ ...options, jwksUri: keys.url, onEvent })
    stops.push(async () => guard.close())
    sample.readCounters(guard, issuer.revocations, registry)
    await guard.authenticate(request, { token: await issuer.token() })
    await expect(guard.authenticate(request)).rejects.toThrow()
    const written = await registry.metrics()
    expect(written).toContain('kickout_accepted 1')
    expect(written).toContain('kickout_live 1')
    expect(written).toContain('kickout_refusals_total{reason="missing"} 1')
    expect(written).toContain('kickout_jwks_fetch_seconds_count{outcome="fetched"} 1')
  })

  test('pino writes events at their level, and no token', async () => {
    const sample = (await loadSample('docs/metrics.md', 'pino')) as {
      logTo(logger: ReturnType<typeof pino>): (event: object) => void
    }
    const lines: string[] = []
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(...chunk.toString().trim().split('\n'))
        done()
      },
    })
    const onEvent = sample.logTo(pino(sink))
    const kit = await createKit({ issuer: { onEvent } })
    const { refresh_token: first } = await kit.startSession()
    const second = (await kit.refresh(first)).json.refresh_token as string
    const third = (await kit.refresh(second)).json.refresh_token as string
    await kit.refresh(first)
    const logged = lines.map((line) => JSON.parse(line) as { level: number; msg: string })
    const levels = Object.fromEntries(logged.map(({ msg, level }) => [msg, level]))
    expect(levels).toMatchObject({ 'session.refreshed': 30, 'refresh.reused': 50 })
    for (const token of [first, second, third]) expect(lines.join('\n')).not.toContain(token)
  })
})

/** What the exporter writes of a process that has a guard, revocations and an issuer. */
async function exposition(): Promise<string> {
  const exporter = new PrometheusExporter({ preventServerStart: true })
  const provider = new MeterProvider({ readers: [exporter] })
  const kit = await createKit()
  const { issuer } = kit
  const failing = requireAuth({
    issuer: kit.base,
    audience: 'https://api.example.com',
    jwksUri: `${kit.base}/nowhere`,
    revocations: issuer.revocations,
  })
  const revocations = memoryRevocations()
  instrument({ guards: [failing], revocations, issuer, meterProvider: provider })
  try {
    await expect(failing.ready({ timeoutMs: 100 })).rejects.toThrow()
    await expect(failing.authenticate(request)).rejects.toThrow()
    await issuer.kickOut({ subject: 'u1' })
    const { resourceMetrics } = await exporter.collect()
    return new PrometheusSerializer().serialize(resourceMetrics)
  } finally {
    await failing.close()
    await provider.shutdown()
  }
}

function readExposition(written: string): Exposed {
  const found = new Map<string, Set<string>>()
  for (const [, name = '', labels = ''] of written.matchAll(/^(express_\w+)(?:\{(.*)\})? /gm)) {
    const names = found.get(name) ?? new Set(ownLabels)
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) names.add(label)
    found.set(name, names)
  }
  // A kick-out that failed, for which this process needs no broken store.
  for (const [name, labels] of found)
    if (name.includes('_kick_out_duration')) labels.add('error_type')
  return found
}

interface Selector {
  /** A name, or a regular expression for one. */
  readonly metric: string
  readonly labels: readonly string[]
}

/** What an expression selects. @throws Error where it cannot be parsed */
function partsOf(expression: string): Selector[] {
  const expr = expression.replaceAll(/\$__rate_interval/g, '5m')
  const selectors: { metric: string; labels: string[] }[] = []
  parser.parse(expr).iterate({
    enter({ type, name, from, to, node }) {
      const source = expr.slice(from, to)
      const current = selectors.at(-1)
      if (type.isError) throw new Error(`"${expression}" cannot be parsed at "${source}"`)
      if (name === 'VectorSelector') selectors.push({ metric: '', labels: [] })
      else if (name === 'Identifier' && current) current.metric = source
      else if (name === 'LabelName' && current && node.parent?.name === 'UnquotedLabelMatcher') {
        const matcher = node.parent
        const value = expr
          .slice(matcher.from, matcher.to)
          .replace(/^\w+(?:=~|!~|!=|=)"(.*)"$/, '$1')
        if (source === '__name__') current.metric = value
        else current.labels.push(source)
      }
    },
  })
  return selectors
}

function namesOf(metric: string, of: Exposed): string[] {
  return [...of.keys()].filter((name) => new RegExp(`^(?:${metric})$`).test(name))
}

function metricsOf(expr: string, of: Exposed): string[] {
  return partsOf(expr).flatMap(({ metric }) => namesOf(metric, of))
}

/** Selectors whose metric there is not, or that name a label which it does not have. */
function problemsOf(expr: string, of: Exposed): Selector[] {
  return partsOf(expr).filter(({ metric, labels }) => {
    const names = namesOf(metric, of)
    return !names.some((name) => labels.every((label) => of.get(name)?.has(label)))
  })
}

/** The metric behind the several series of a counter or histogram. */
function familyOf(name: string): string {
  return name.replace(/_(total|bucket|count|sum)$/, '')
}

function expressionsOf({ panels }: Dashboard): string[] {
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
}
