/** Why a figure is not reached, as far as it is known: by profiles, and by what other runs say. */
export const reasons = {
  'hot.floor': 'varies with the run: two pairs on the same day gave 1.00',
  'hot.nothing': 'varies with the run: two pairs on the same day gave 0.92',
  'hot.uncached': 'varies with the run: two pairs on the same day gave 1.76',
  'hot.express-jwt-redis': 'varies with the run: two pairs on the same day gave 3.11',
  'hot.fast-jwt': 'varies with the run: two pairs on the same day gave 1.08',
  'cold.jose.RS256':
    'beside the same signature the guard files the token and looks into the denylist; not profiled',
  'cold.jose.ES256':
    'beside the same signature the guard files the token and looks into the denylist; not profiled',
  'latency.p99':
    'three servers, two issuers, Redis and the load share two cores; six runs gave 12 to 23 ms',
}
