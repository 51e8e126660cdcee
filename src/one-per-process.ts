/**
 * What all copies of the package in a process have in common, made by the copy that asks first. Copies meet where a test runner
 * resets its modules, where a bundle carries one, and where two versions are installed.
 *
 * It lies on `globalThis` under a registered symbol, which no request can spell. Another version of the package may have made
 * it: who changes the shape of a value changes its name.
 */
export function onePerProcess<Value extends object>(name: string, make: () => Value): Value {
  const key = Symbol.for(`express-kickout.${name}`)
  const registry = globalThis as { [key: symbol]: Value | undefined }
  const held = registry[key]
  if (held) return held
  const value = make()
  Object.defineProperty(globalThis, key, { value })
  return value
}
