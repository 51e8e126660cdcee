import autocannon from 'autocannon'

/** Counts answers by kind between the first one and the end, so that building requests is no part of it. */
export async function runAutocannon(options) {
  let startedAt
  const run = autocannon({ ...options, workers: undefined })
  run.once('response', () => {
    startedAt = performance.now()
  })
  const result = await run
  return {
    requests: result.requests.total,
    seconds: (performance.now() - (startedAt ?? performance.now())) / 1000,
    failures: result.non2xx + result.errors + result.timeouts,
    statuses: result.statusCodeStats,
    p99: result.latency.p99,
  }
}

const toRequest = (token) => ({
  method: 'GET',
  path: '/reports',
  headers: { authorization: `Bearer ${token}` },
})

/** Every connection goes through a share of its own of the tokens. */
export async function pressWithAutocannon({ port, connections, seconds, amount, rate, ...job }) {
  const { tokens, offset = 0 } = job
  let connection = 0
  return runAutocannon({
    url: `http://127.0.0.1:${port}`,
    connections,
    ...(amount === undefined ? { duration: seconds } : { amount }),
    ...(rate !== undefined && { overallRate: rate }),
    setupClient(client) {
      const share = []
      for (let index = connection++; index < tokens.length; index += connections) {
        share.push(toRequest(tokens[(offset + index) % tokens.length]))
      }
      client.setRequests(share)
    },
  })
}
