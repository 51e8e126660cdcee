import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../../..')
const source = pathToFileURL(join(root, 'src/redis/client/fast-strings.ts')).href

/** Only V8 itself tells, and in a process that has just started. */
const program = `
  const areFast = new Function('return %HasFastProperties(String.prototype)')
  const seen = [areFast()]
  await import('ioredis')
  seen.push(areFast())
  const { restoreFastStrings } = await import(${JSON.stringify(source)})
  restoreFastStrings()
  seen.push(areFast())
  console.log(JSON.stringify(seen))
`

test('importing ioredis makes strings slow, and we make them fast again', () => {
  const node = ['--allow-natives-syntax', '--import', 'tsx', '--input-type=module', '-e', program]
  const said = execFileSync(process.execPath, node, { cwd: root, encoding: 'utf8' })
  expect(JSON.parse(said)).toEqual([true, false, true])
})
