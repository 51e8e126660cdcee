/** Options of {@link KickoutClient}. */
export interface KickoutClientOptions {
  /** URL of the login service, where the issuer's router is mounted. `https:`, or `http:` on a loopback host. */
  readonly loginUrl: string
  /** Origins that are sent the access token, exactly (`https://api.example.com`). No other origin ever is. */
  readonly apiOrigins: readonly string[]
  /** Path of the token endpoint below `loginUrl`. @defaultValue `'/token'` */
  readonly refreshPath?: string
  /** Path of the logout endpoint below `loginUrl`. @defaultValue `'/logout'` */
  readonly logoutPath?: string
  /**
   * Seconds of lifetime left below which a call refreshes first; half the lifetime of a token that lives less than twice
   * as long. 0 waits until it has expired.
   * @defaultValue 30
   */
  readonly refreshAheadSeconds?: number
  /**
   * Milliseconds, at least 1, to wait for another tab's refresh. Then this tab refreshes without the lock: the issuer's
   * grace makes that safe.
   * @defaultValue 5000
   */
  readonly lockTimeoutMs?: number
  /**
   * Proves with each request that it comes from this browser (DPoP), by a key in IndexedDB that no script can read. The
   * sign-in sends `client.proof(url)` along, so that the session is bound to the key.
   * @defaultValue false
   */
  readonly dpop?: boolean
  /** Milliseconds, at least 1, after which a request to the login service is given up. @defaultValue 10000 */
  readonly requestTimeoutMs?: number
}

const fallbacks = {
  loginUrl: undefined,
  apiOrigins: undefined,
  refreshPath: '/token',
  logoutPath: '/logout',
  refreshAheadSeconds: 30,
  lockTimeoutMs: 5000,
  requestTimeoutMs: 10_000,
  dpop: false,
}

export interface ClientSettings {
  readonly refreshUrl: string
  readonly logoutUrl: string
  readonly apiOrigins: readonly string[]
  readonly refreshAheadMs: number
  readonly lockTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly dpop: boolean
}

function wrong(option: string, expectation: string): TypeError {
  return new TypeError(`KickoutClient: option "${option}" ${expectation}`)
}

function readUrl(option: string, value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  const isSecure =
    url?.protocol === 'https:' ||
    (url?.protocol === 'http:' &&
      /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname))
  if (!url || !isSecure) {
    throw wrong(option, 'must hold https: URLs, or http: ones of a loopback host')
  }
  return url
}

/** @throws TypeError that names the option and says what it must be */
export function readOptions(options: KickoutClientOptions): ClientSettings {
  for (const name of Object.keys(options)) {
    if (!(name in fallbacks)) {
      throw wrong(name, `is unknown; known are ${Object.keys(fallbacks).join(', ')}`)
    }
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const settings = {
    ...fallbacks,
    ...Object.fromEntries(given),
  } as unknown as Required<KickoutClientOptions>
  const url = readUrl('loginUrl', settings.loginUrl)
  if (url.search || url.hash) throw wrong('loginUrl', 'must have neither a query nor a fragment')
  const base = url.href.replace(/\/+$/, '')
  for (const name of ['refreshPath', 'logoutPath'] as const) {
    if (!/^\//.test(settings[name])) throw wrong(name, 'must begin with a slash')
  }
  for (const name of ['refreshAheadSeconds', 'lockTimeoutMs', 'requestTimeoutMs'] as const) {
    const least = name === 'refreshAheadSeconds' ? 0 : 1
    // The longest delay that a timer knows.
    if (!(settings[name] >= least && settings[name] < 2 ** 31)) {
      throw wrong(name, `must be a number, at least ${least}`)
    }
  }
  if (typeof settings.dpop !== 'boolean') throw wrong('dpop', 'must be true or false')
  if (!Array.isArray(settings.apiOrigins)) throw wrong('apiOrigins', 'must be a list of origins')
  const origins = (settings.apiOrigins as readonly string[]).map((text) => {
    const { origin } = readUrl('apiOrigins', text)
    if (origin !== text) throw wrong('apiOrigins', `must hold origins, without a path: ${origin}`)
    return origin
  })
  return {
    refreshUrl: base + settings.refreshPath,
    logoutUrl: base + settings.logoutPath,
    apiOrigins: origins,
    refreshAheadMs: settings.refreshAheadSeconds * 1000,
    lockTimeoutMs: settings.lockTimeoutMs,
    requestTimeoutMs: settings.requestTimeoutMs,
    dpop: settings.dpop,
  }
}
