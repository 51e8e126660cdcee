/** The issuer's URL without a slash at its end: what its addresses begin with. */
export function baseOf(issuer: string): string {
  return issuer.replace(/\/$/, '')
}

/** What proofs for `/token` name as their `htu`, and assertions of clients as their `aud`. */
export function tokenEndpointOf(issuer: string): string {
  return `${baseOf(issuer)}/token`
}
