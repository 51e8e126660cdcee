import { scrypt, timingSafeEqual } from 'node:crypto'

/** Stands in for your table of users. Of a password it keeps a salted, slow hash and nothing else. */
export interface Person {
  id: string
  name: string
  /** What their sessions grant. */
  scope: string
  salt: string
  passwordHash: string
}

export const people: readonly Person[] = [
  {
    id: 'ada',
    name: 'Ada',
    scope: 'notes:read notes:write sessions:admin',
    salt: 'ME8h2tQwtJj-5cpKbbpdlg',
    passwordHash: 'Cr80NmBiPDS3-ywi7CD27tPKdo2YZeWTyaK8P840r5A',
  },
  {
    id: 'ben',
    name: 'Ben',
    scope: 'notes:read notes:write',
    salt: 'Aub6cRGiPtPtWPoDIf1BTA',
    passwordHash: 'kbTQdPk-4OEoZBED4V72zkRKOOCzSve0tv0NMzxKnP0',
  },
  {
    id: 'cleo',
    name: 'Cleo',
    scope: 'notes:read',
    salt: 'l1hGurE4DNODlKrHKfggwg',
    passwordHash: 'GjYVHnbhtQ2G-QQYGRZiEO8EgLGSbImMJWSSRvTJjAY',
  },
]

/** Shown on the sign-in page and on the console. Only a demo has such a list. */
export const demoPasswords: Readonly<Record<string, string>> = {
  ada: 'analytical engine',
  ben: 'kites and keys',
  cleo: 'seven sealed scrolls',
}

/** Slow on purpose (a third of a second): a stolen table takes years to guess through. */
const cost = { N: 2 ** 15, r: 8, p: 3, maxmem: 64 * 2 ** 20 }

async function hash(password: string, salt: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, Buffer.from(salt, 'base64url'), 32, cost, (error, key) => {
      if (error) reject(error)
      else resolve(key)
    })
  })
}

/** Who that is, or `undefined`: for an unknown name as slowly as for a wrong password, so that time tells no names. */
export async function checkPassword(name: string, password: string): Promise<Person | undefined> {
  const person = people.find(({ id }) => id === name.trim().toLowerCase())
  const { salt, passwordHash } = person ?? { salt: 'no such person', passwordHash: 'A'.repeat(43) }
  const given = await hash(password, salt)
  return timingSafeEqual(given, Buffer.from(passwordHash, 'base64url')) ? person : undefined
}
