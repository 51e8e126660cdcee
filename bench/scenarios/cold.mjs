import { coldGuards } from '../guards/index.mjs'
import { raceGuards } from './race-guards.mjs'

/** Every token new to the server: more of them in turn than any cache holds. */
export async function cold(settings) {
  const results = {}
  for (const algorithm of ['RS256', 'ES256']) {
    const count = settings.coldTokens
    results[algorithm] = await raceGuards({ ...settings, names: coldGuards, algorithm, count })
  }
  return results
}
