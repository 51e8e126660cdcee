import { runAutocannon } from './autocannon.mjs'

const headers = { 'content-type': 'application/x-www-form-urlencoded' }

function bodyOf(form, refreshToken) {
  const grant = { grant_type: 'refresh_token', ...form, refresh_token: refreshToken }
  return new URLSearchParams(grant).toString()
}

/** Every connection is a user agent that refreshes in a chain: each answer's refresh token is the next request's. */
export async function refreshAsFastAsPossible({ port, path, form, refreshTokens, seconds }) {
  const waiting = [...refreshTokens]
  return runAutocannon({
    url: `http://127.0.0.1:${port}`,
    connections: refreshTokens.length,
    duration: seconds,
    setupClient(client) {
      let refreshToken = waiting.pop()
      client.setRequests([
        {
          method: 'POST',
          path,
          headers,
          setupRequest: (request) => ({ ...request, body: bodyOf(form, refreshToken) }),
          onResponse(status, body) {
            if (status === 200) refreshToken = JSON.parse(body).refresh_token
          },
        },
      ])
    },
  })
}

/** Refreshes every session so many times. Resolves to the refresh tokens that are current then. */
export async function refreshEach({ port, path, form, refreshTokens, times }) {
  const url = `http://127.0.0.1:${port}${path}`
  return Promise.all(
    refreshTokens.map(async (first) => {
      let refreshToken = first
      for (let time = 0; time < times; time++) {
        const body = bodyOf(form, refreshToken)
        const response = await fetch(url, { method: 'POST', headers, body })
        if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
        refreshToken = (await response.json()).refresh_token
      }
      return refreshToken
    }),
  )
}
