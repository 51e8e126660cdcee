import { describe, expect, test } from '@jest/globals'
import { normalizeTargetUri } from '../../src/dpop/target-uri.ts'

describe('a target URI', () => {
  test.each([
    ['HTTPS://API.Example.com/a', 'https://api.example.com/a'],
    ['https://api.example.com:443/a', 'https://api.example.com/a'],
    ['http://api.example.com:80', 'http://api.example.com/'],
    ['https://api.example.com:8443/a', 'https://api.example.com:8443/a'],
    ['https://api.example.com', 'https://api.example.com/'],
    ['https://api.example.com/a/./b/../c', 'https://api.example.com/a/c'],
    ['https://api.example.com/%7euser/%61', 'https://api.example.com/~user/a'],
    ['https://api.example.com/a%2fb', 'https://api.example.com/a%2Fb'],
    ['https://api.example.com/users/@me', 'https://api.example.com/users/@me'],
    ['https://api.example.com//a', 'https://api.example.com//a'],
    ['https://api.example.com/a/', 'https://api.example.com/a/'],
    ['http://[::1]:3000/a', 'http://[::1]:3000/a'],
  ])('%s means %s', (text, normal) => {
    expect(normalizeTargetUri(text)).toBe(normal)
    expect(normalizeTargetUri(normal)).toBe(normal)
  })

  test.each([
    ['https://api.example.com/a%2Fb', 'https://api.example.com/a/b'],
    ['https://api.example.com/A', 'https://api.example.com/a'],
    ['https://api.example.com/a/', 'https://api.example.com/a'],
    ['https://api.example.com/a%3Fb', 'https://api.example.com/a'],
    ['http://api.example.com/a', 'https://api.example.com/a'],
    ['https://api.example.com:444/a', 'https://api.example.com/a'],
    ['https://api.example.com./a', 'https://api.example.com/a'],
  ])('%s is another one than %s', (text, other) => {
    expect(normalizeTargetUri(text)).not.toBe(normalizeTargetUri(other))
  })

  test.each([
    '',
    '/a',
    'api.example.com/a',
    'ftp://api.example.com/a',
    'https:///api.example.com/a',
    'https:/api.example.com/a',
    'https://user@api.example.com/a',
    'https://@api.example.com/a',
    'https://api.example.com/a?b=c',
    'https://api.example.com/a#b',
    'https://api.example.com/a?',
    'https://api.example.com\\a',
    'https://api.example.com/a b',
    ' https://api.example.com/a',
    'https://api.example.com/a\n',
    'https://api.example.com/\u00e4',
    'https://api.example.com/a%2',
    'https://api.example.com/a%zz',
    'https://api.example.com:99999/a',
  ])('%j is none', (text) => {
    expect(normalizeTargetUri(text)).toBeUndefined()
  })
})
