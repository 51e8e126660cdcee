import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { optionError, readString } from '../options.ts'

const maxNameLength = 40

/** @throws TypeError that names the option */
export function readServerName(where: string, value: unknown): string | undefined {
  const name = readString(where, 'name', value)
  if (name === undefined || /^[\w.-]{1,40}$/.test(name)) return name
  throw optionError(
    where,
    'name',
    `must have at most ${maxNameLength} letters, digits, dots, dashes and underscores`,
  )
}

/** Names this process in the list of servers: the name of the service or the host, and a random part. */
export function newServerId(name: string = hostname().slice(0, maxNameLength)): string {
  return `${name}-${randomBytes(6).toString('hex')}`
}
