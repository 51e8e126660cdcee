import { expect, test } from '@jest/globals'
import type { KeyStore, StoredKey } from '../../src/key-store/key-store.ts'

const key = (kid: string): StoredKey => ({ jwk: { kty: 'EC', kid }, publishedAt: 1, signsFrom: 2 })

/** What every key store promises. `open` makes one more process on the same store; each call is another store. */
export function keyStoreContract(start: () => { open(): KeyStore }): void {
  const issuer = 'https://login.example.com'

  test('nothing is stored at first, and the clock is told', async () => {
    const store = start().open()
    const { revision, keys, now } = await store.read(issuer)
    expect({ revision, keys }).toEqual({ revision: '', keys: undefined })
    expect(Math.abs(now - Date.now())).toBeLessThan(60_000)
  })

  test('another process reads what was stored, under another revision each time', async () => {
    const { open } = start()
    const [writer, reader] = [open(), open()]
    expect(await writer.replace(issuer, '', [key('a')])).toBe(true)
    const first = await reader.read(issuer)
    expect(first.keys).toEqual([key('a')])
    expect(await writer.replace(issuer, first.revision, [key('b'), key('a')])).toBe(true)
    const second = await reader.read(issuer)
    expect(second.keys).toEqual([key('b'), key('a')])
    expect(second.revision).not.toBe(first.revision)
  })

  test('of fifty processes that replace one revision exactly one does', async () => {
    const { open } = start()
    const store = open()
    for (const round of ['', 'again']) {
      const { revision } = await store.read(issuer)
      expect(revision === '').toBe(round === '')
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, n) =>
          store.replace(issuer, revision, [key(`${round} ${n}`)]),
        ),
      )
      const winners = answers.flatMap((isDone, n) => (isDone ? [n] : []))
      expect(winners).toHaveLength(1)
      const { keys } = await store.read(issuer)
      expect(keys).toEqual([key(`${round} ${winners[0]}`)])
    }
  })

  test('a revision that is over changes nothing, and neither does an invented one', async () => {
    const store = start().open()
    await store.replace(issuer, '', [key('a')])
    for (const revision of ['', 'invented']) {
      expect(await store.replace(issuer, revision, [key('b')])).toBe(false)
    }
    expect((await store.read(issuer)).keys).toEqual([key('a')])
  })

  test('issuers know nothing of each other', async () => {
    const store = start().open()
    await store.replace(issuer, '', [key('a')])
    for (const other of ['https://login.example.com/', `${issuer}\0`, 'https://other.example']) {
      expect((await store.read(other)).keys).toBeUndefined()
    }
  })

  test('after close it answers 503', async () => {
    const store = start().open()
    await store.read(issuer)
    await store.close()
    await expect(store.read(issuer)).rejects.toMatchObject({ status: 503, reason: 'signing' })
  })
}
