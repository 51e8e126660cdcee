/**
 * Every value of a header, in the order of the request. Node joins some repeated headers and drops others; a proxy in front
 * may have read any of them.
 *
 * @param rawHeaders - names and values in turn, as `IncomingMessage` has them
 * @param name - in lower case
 */
export function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const other = rawHeaders[index]
    if (other?.length !== name.length || other.toLowerCase() !== name) continue
    values.push(rawHeaders[index + 1] ?? '')
  }
  return values
}
