/** The guards that are raced: modules of this folder. */
export const guardLabels = {
  nothing: 'Express with a do-nothing middleware',
  floor: 'the floor: read the header, one Map look-up, compare exp',
  kickout: '`requireAuth` + `requireScope` + Redis revocations, replica mode',
  'kickout-introspection': 'the same with `introspection`, opaque tokens',
  'fast-jwt': 'fast-jwt with its cache, by hand',
  jose: 'jose by hand: `jwtVerify` with a remote key set',
  'mcp-sdk': "the MCP SDK's `requireBearerAuth` over jose",
  'express-oauth2-jwt-bearer': 'express-oauth2-jwt-bearer',
  'express-jwt': 'express-jwt + jwks-rsa',
  'kickout-dpop': '`requireAuth` with `dpop` + Redis revocations, replays refused',
  'express-oauth2-jwt-bearer-dpop': 'express-oauth2-jwt-bearer with `dpop`, replays accepted',
  'express-jwt-redis': 'express-jwt + jwks-rsa + a Redis look-up per request',
}

/** Their tokens are bound to keys, and each request has a proof. */
export const dpopGuards = ['kickout-dpop', 'express-oauth2-jwt-bearer-dpop']
/** Its tokens are opaque. */
const introspectionGuard = 'kickout-introspection'
export const hotGuards = Object.keys(guardLabels).filter(
  (name) => !dpopGuards.includes(name) && name !== introspectionGuard,
)
/** The floor remembers tokens without end, so it has no cold. */
export const coldGuards = hotGuards.filter((name) => name !== 'floor')
