/**
 * An id as PostgreSQL can hold it. Control characters, backslashes and quotes are escaped as in JSON, since a text in
 * PostgreSQL has no NUL. Two different ids stay different.
 */
export function encodeText(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

export function decodeText(text: string): string {
  return JSON.parse(`"${text}"`) as string
}
