import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'

/*
 * House style: comments and texts name the component. These words leave the reader to guess whether a server, the caller, a
 * user or an attacker is meant. In test the comments alone are judged: names of users and hostile texts are data.
 */
const vague = /\b(?:whoever|nobody|somebody|someone|anybody|anew|told again)\b/i

const root = join(import.meta.dirname, '../..')
const folders = ['src', 'example-app', 'scripts', 'bench', 'docs']

function findings(path: string, text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, index) => (vague.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : []))
}

function commentsOf(text: string): string {
  const lines = text.split('\n')
  return lines.map((line) => (/^\s*(?:\/\/|\/?\*)/.test(line) ? line : '')).join('\n')
}

function textsIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => !file.split('/').includes('node_modules'))
    .filter((file) => /\.(?:[cm]?[jt]s|html|css|md)$/.test(file))
    .map((file) => `${folder}/${file}`)
}

describe('the words of the house', () => {
  test.each(folders)('%s names the component', (folder) => {
    const files = textsIn(folder)
    expect(files.length).toBeGreaterThan(5)
    const found = files.flatMap((file) => findings(file, readFileSync(join(root, file), 'utf8')))
    expect(found).toEqual([])
  })

  test('the comments of test name the component', () => {
    const files = textsIn('test').filter((file) => file !== 'test/repository/words.test.ts')
    expect(files.length).toBeGreaterThan(200)
    const found = files.flatMap((file) =>
      findings(file, commentsOf(readFileSync(join(root, file), 'utf8'))),
    )
    expect(found).toEqual([])
  })

  test.each([
    '/** Waits for whoever reads. */',
    '// Nobody listens here.',
    "throw new Error('changed by someone')",
    'const text = `asks anew`',
  ])('a violation is noticed: %s', (line) => {
    expect(findings('src/example.ts', line)).toHaveLength(1)
  })

  test('a word that contains one of them is none of them', () => {
    expect(findings('src/example.ts', '// The example for anyone: no body, some bodies.')).toEqual(
      [],
    )
  })
})
