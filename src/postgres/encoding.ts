/**
 * An id as PostgreSQL can hold it: control characters, backslashes and quotes escaped as in JSON, since a text of PostgreSQL
 * has no NUL. Two different ids stay different.
 */
export function encodeText(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

export function decodeText(text: string): string {
  return JSON.parse(`"${text}"`) as string
}
