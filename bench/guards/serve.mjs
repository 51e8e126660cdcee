import express from 'express'
import { answer } from '../processes/child.mjs'
import { listen } from '../processes/listen.mjs'

const applied = new Map()
const appliedTo = new Map()

answer({
  /** The same app for everybody: one middleware, one route, a small JSON answer. */
  async start({ name, ...config }) {
    const { guard } = await import(`./${name}.mjs`)
    const guarded = await guard(config)
    guarded.revocations?.onKickOut(({ kickOutId, id }) => {
      const now = Number(process.hrtime.bigint()) / 1e6
      applied.set(kickOutId, now)
      appliedTo.set(id, now)
    })
    const app = express()
    app.use(guarded.middleware)
    app.get('/reports', ...(guarded.scopeCheck ? [guarded.scopeCheck] : []), (_req, res) => {
      res.json({ ok: true })
    })
    if (guarded.errorHandler) app.use(guarded.errorHandler)
    return { port: await listen(app) }
  },
  /** When each kick-out came into force in this process, by its id. */
  applied: () => applied,
  /** The same by the user or session that was kicked out. */
  appliedTo: () => appliedTo,
})
