// Whether `import` and `require()` of each entry in the arguments give one and the same copy of the package.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
for (const entry of process.argv.slice(2)) {
  const imported = await import(entry)
  const required = require(entry)
  for (const name of Object.keys(imported)) assert.equal(required[name], imported[name], name)
}
console.log('one copy')
