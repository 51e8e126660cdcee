import type { RequestHandler } from 'express'
import type { Issuer } from 'express-kickout/issuer'

const defaultEveryMs = 2000
const samples = 150

/**
 * How far behind each resource server was over the last five minutes. Kept here rather than by the page of an admin, who
 * comes when something has gone wrong already.
 */
export class StalenessRecord {
  readonly #revocations: Issuer['revocations']
  readonly #everyMs: number
  readonly #timer: NodeJS.Timeout
  /** Milliseconds by the id of the server, oldest first; empty where the list could not be read. */
  readonly #past: ReadonlyMap<string, number>[] = []

  constructor(revocations: Issuer['revocations'], everyMs = defaultEveryMs) {
    this.#revocations = revocations
    this.#everyMs = everyMs
    this.#timer = setInterval(() => void this.sample(), everyMs).unref()
  }

  async sample(): Promise<void> {
    const servers = await this.#revocations.listServers().catch(() => [])
    this.#past.push(
      new Map(servers.map(({ serverId, stalenessMs }) => [serverId, Math.round(stalenessMs)])),
    )
    if (this.#past.length > samples) this.#past.shift()
  }

  /** `GET`: every server of that time, `null` where it was not seen. Let only admins ask. */
  readonly handler: RequestHandler = (_req, res) => {
    const ids = new Set(this.#past.flatMap((sample) => [...sample.keys()]))
    res.set('Cache-Control', 'no-store').json({
      every_ms: this.#everyMs,
      servers: [...ids].map((id) => ({
        server_id: id,
        staleness_ms: this.#past.map((sample) => sample.get(id) ?? null),
      })),
    })
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
