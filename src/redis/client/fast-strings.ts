/** More calls than V8 needs before it keeps inline caches for a function. */
const uses = 1000

/**
 * Undoes what importing ioredis 6 does to strings. It declares a class that extends `String`, which leaves
 * `String.prototype` in V8's slow mode (Node.js 20, 22 and 24): from then on every loop over `charCodeAt`, such as the
 * base64 in jose, takes five times as long, in the whole process. V8 leaves that mode as soon as an inline cache looks up a
 * property through the prototype.
 */
export function restoreFastStrings(): number {
  const heir = Object.create(String.prototype) as string
  let seen = 0
  for (let use = 0; use < uses; use++) seen += heir.length
  return seen
}
