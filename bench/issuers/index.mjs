/** The issuers that are raced: modules of this folder. */
export const issuerLabels = {
  floor: 'the floor: parse the form, one HMAC, one script, one signature, on Express',
  kickout: '`createIssuer` on Redis',
  'oidc-provider': 'oidc-provider with a Redis adapter',
}
