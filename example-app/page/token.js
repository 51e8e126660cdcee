import { byId, clock } from './dom.js'

/** Refreshes before the token expires, so that the user never waits for it. */
const refreshAheadSeconds = 20

/** What the access token says and how long it lives. @param {import('./main.js').Session} session */
export function startToken({ client, signal, say }) {
  /** @type {HTMLProgressElement} */
  const bar = byId('token-left')
  let tried = ''
  /** None any more when the session has just ended. @returns {Record<string, any> | undefined} */
  const claimsNow = () => client.snapshot().claims

  function show() {
    const claims = claimsNow()
    if (!claims) return
    const { sub, scope, sid, jti, iat, exp } = claims
    const facts = {
      sub,
      scope,
      sid,
      jti,
      iat: `${iat} (${clock(iat * 1000)})`,
      exp: `${exp} (${clock(exp * 1000)})`,
    }
    byId('token').replaceChildren(
      ...Object.entries(facts).flatMap(([name, value]) => {
        const [term, description] = [document.createElement('dt'), document.createElement('dd')]
        term.textContent = name
        description.textContent = value
        return [term, description]
      }),
    )
    countDown()
  }

  function countDown() {
    const claims = claimsNow()
    if (!claims) return
    const { iat, exp, jti } = claims
    const left = Math.max(0, exp - Date.now() / 1000)
    byId('token-countdown').textContent = `expires in ${Math.ceil(left)} s`
    bar.value = left / (exp - iat)
    if (left > refreshAheadSeconds || tried === jti) return
    tried = jti
    client.token().catch(() => undefined)
  }

  const timer = setInterval(countDown, 1000)
  signal.addEventListener('abort', () => clearInterval(timer))
  const stop = client.subscribe(show)
  signal.addEventListener('abort', stop)
  byId('refresh').addEventListener(
    'click',
    async () => {
      try {
        if (!(await client.resume())) return
        say(
          `Refreshed at ${clock(Date.now())}. The token before that one still works until it expires.`,
        )
      } catch {
        say('The login service is away. You are still signed in.')
      }
    },
    { signal },
  )
  show()
}
