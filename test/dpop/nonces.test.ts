import { expect, test } from '@jest/globals'
import { Nonces, nonceTtlMs } from '../../src/dpop/nonces.ts'
import { FakeClock } from '../support/fake-clock.ts'

const clock = new FakeClock()
const secret = 'a secret of thirty-two bytes or more'
const make = (own: string | undefined = secret) => new Nonces(own, clock, 5000)

test('a nonce is read by every server with the secret, for the key that it was made for', () => {
  const nonce = make().make('key-1')
  expect(make().read(nonce, 'key-1')).toBe(clock.now())
  expect(make().read(nonce, 'key-2')).toBeUndefined()
  expect(make(`${secret}!`).read(nonce, 'key-1')).toBeUndefined()
  expect(new Nonces(undefined, clock, 0).read(nonce, 'key-1')).toBeUndefined()
})

test('a nonce is good until its time is up, and from a clock ahead no further than the tolerance', () => {
  const nonces = make()
  const nonce = nonces.make('key')
  clock.advance(nonceTtlMs)
  expect(nonces.read(nonce, 'key')).toBe(clock.now() - nonceTtlMs)
  clock.advance(1)
  expect(nonces.read(nonce, 'key')).toBeUndefined()
  const ahead = nonces.make('key')
  clock.setBack(5000)
  expect(nonces.read(ahead, 'key')).toBeDefined()
  clock.setBack(1)
  expect(nonces.read(ahead, 'key')).toBeUndefined()
})

test('no changed nonce is read, and nothing that is none', () => {
  const nonces = make()
  const nonce = nonces.make('key')
  for (let index = 0; index < nonce.length - 1; index++) {
    const other = nonce[index] === 'A' ? 'B' : 'A'
    const changed = nonce.slice(0, index) + other + nonce.slice(index + 1)
    expect(nonces.read(changed, 'key')).toBeUndefined()
  }
  for (const other of [undefined, '', 'x', `${nonce}A`, nonce.slice(1), 'ü'.repeat(30)]) {
    expect(nonces.read(other, 'key')).toBeUndefined()
  }
})
