// Prints, per entry of the arguments, the names that `import` and `require()` give.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const names = {}
for (const entry of process.argv.slice(2)) {
  names[entry] = {
    required: Object.keys(require(entry)).sort(),
    imported: Object.keys(await import(entry)).sort(),
  }
}
console.log(JSON.stringify(names))
