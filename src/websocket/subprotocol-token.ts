import type { GuardContext } from '../guard/request-auth.ts'
import { malformed } from './guard-of-connections.ts'
import { httpToken } from './options.ts'

/** The headers of an upgrade, as Node's `IncomingMessage` has them. */
export interface UpgradeHeaders {
  authorization?: string | undefined
  'sec-websocket-protocol'?: string | undefined
}

const ownCredentials = /^(bearer|dpop)([ \t]|$)/i

/**
 * Takes the token out of `Sec-WebSocket-Protocol: <yours>, bearer.<token>`, the one header that the script of a page can
 * set. What is left of the header are the application's own subprotocols, so that none but those is ever echoed.
 *
 * @returns `undefined` where none of the subprotocols is a token
 * @throws AuthError `invalid_request` for text that is no list of distinct subprotocols, for two tokens, and for a token
 *   beside credentials in `Authorization`
 * @see RFC 6455 §4.1 (10) and §11.3.4
 */
export function takeSubprotocolToken(
  headers: UpgradeHeaders,
  tokenPrefix: string,
  context: GuardContext,
): string | undefined {
  const header = headers['sec-websocket-protocol']
  if (header === undefined) return undefined
  const offered = header.split(',').map((word) => word.trim())
  if (new Set(offered).size < offered.length || !offered.every((word) => httpToken.test(word))) {
    throw malformed(context, 'Sec-WebSocket-Protocol is no list of distinct subprotocols')
  }
  const [carrier, second] = offered.filter((word) => word.startsWith(tokenPrefix))
  if (carrier === undefined) return undefined
  if (second !== undefined) {
    throw malformed(context, 'Sec-WebSocket-Protocol carries more than one token')
  }
  if (ownCredentials.test(headers.authorization ?? '')) {
    throw malformed(context, 'There is a token in Authorization and in Sec-WebSocket-Protocol')
  }
  const own = offered.filter((word) => word !== carrier)
  if (own.length > 0) headers['sec-websocket-protocol'] = own.join(', ')
  else delete headers['sec-websocket-protocol']
  return carrier.slice(tokenPrefix.length)
}
