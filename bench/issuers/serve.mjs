import { createPrivateKey } from 'node:crypto'
import { answer } from '../processes/child.mjs'
import { listen } from '../processes/listen.mjs'

let serving

async function inBatches(items, size, run) {
  const results = []
  for (let from = 0; from < items.length; from += size) {
    results.push(...(await Promise.all(items.slice(from, from + size).map(run))))
  }
  return results
}

answer({
  async start({ name, ...config }) {
    const { issuer } = await import(`./${name}.mjs`)
    const privateKey = createPrivateKey({ key: config.privateJwk, format: 'jwk' })
    serving = await issuer({ ...config, privateKey })
    const { path, form } = serving
    return { port: await listen(serving.app), path, form }
  },
  /** Resolves to the refresh token of each session. */
  startSessions: (subjects) => inBatches(subjects, 50, serving.startSession),
  /** Kicks users out and tells when each call was made, on the clock that all processes of a machine share. */
  async kickOut({ subject, confirmTimeoutMs }) {
    const calledAt = Number(process.hrtime.bigint()) / 1e6
    const result = await serving.issuing.kickOut({ subject }, { confirmTimeoutMs })
    return { ...result, calledAt }
  },
  /** As many kick-outs as there are ids, 200 at a time. */
  async kickOutAll({ from, count }) {
    for (let done = 0; done < count; done += 200) {
      const batch = Array.from({ length: Math.min(200, count - done) }, async (_, index) =>
        serving.issuing.kickOut(
          { session: `session-${from + done + index}` },
          { confirmTimeoutMs: 0 },
        ),
      )
      await Promise.all(batch)
    }
  },
})
