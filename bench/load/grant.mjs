import { runAutocannon } from './autocannon.mjs'

/** Every connection is a machine that asks for one token after the other. */
export async function grantAsFastAsPossible({ port, path, machine, scope, seconds }) {
  const pair = `${machine.clientId}:${machine.secret}`
  return runAutocannon({
    url: `http://127.0.0.1:${port}${path}`,
    connections: 32,
    duration: seconds,
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(pair).toString('base64')}`,
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope }).toString(),
  })
}
