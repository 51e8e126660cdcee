import { isIdentifier } from '../identifier.ts'
import { Refusal } from './receiver.ts'

/**
 * Who is meant, in one of the formats of RFC 9493. Nothing else is in it than what is named here.
 *
 * @see RFC 9493 §3.2
 */
export type SubjectId =
  | { readonly format: 'account'; readonly uri: string }
  | { readonly format: 'did'; readonly url: string }
  | { readonly format: 'email'; readonly email: string }
  | { readonly format: 'iss_sub'; readonly iss: string; readonly sub: string }
  | { readonly format: 'opaque'; readonly id: string }
  | { readonly format: 'phone_number'; readonly phone_number: string }
  | { readonly format: 'uri'; readonly uri: string }

/** The members of each format. */
const formats: Readonly<Record<SubjectId['format'], readonly string[]>> = {
  account: ['uri'],
  did: ['url'],
  email: ['email'],
  iss_sub: ['iss', 'sub'],
  opaque: ['id'],
  phone_number: ['phone_number'],
  uri: ['uri'],
}

function malformed(message: string): Refusal {
  return new Refusal(400, 'invalid_request', message)
}

/**
 * Reads whom a request is about: `sub_id`, or `subject` as older senders name it.
 *
 * @throws Refusal 400 for none, two different ones, another format, or members that are missing or ill-typed
 */
export function readSubjectId(body: unknown): SubjectId {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw malformed('The body must be a JSON object')
  const { sub_id: current, subject: older } = body as Record<string, unknown>
  const named = [current, older].filter((one) => one !== undefined).map(read)
  const [first, second] = named
  if (!first) throw malformed('The body must have "sub_id"')
  if (second && JSON.stringify(first) !== JSON.stringify(second))
    throw malformed('"sub_id" and "subject" name two subjects')
  return first
}

function read(value: unknown): SubjectId {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >
  const { format } = given
  const known = Object.keys(formats).find((name) => name === format) as SubjectId['format']
  const members = (known as string | undefined) === undefined ? undefined : formats[known]
  if (!members) throw malformed(`The "format" must be one of ${Object.keys(formats).join(', ')}`)
  const missing = members.find((name) => !isIdentifier(given[name]))
  if (missing !== undefined)
    throw malformed(`"${missing}" of a subject of the format ${known} must be a non-empty string`)
  return Object.fromEntries([
    ['format', known],
    ...members.map((name) => [name, given[name]]),
  ]) as SubjectId
}
