import { appendFileSync } from 'node:fs'

export function load(url, context, nextLoad) {
  appendFileSync(process.env.LOADED_MODULES, `${url}\n`)
  return nextLoad(url, context)
}
