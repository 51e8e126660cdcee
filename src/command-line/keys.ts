import { writeFile } from 'node:fs/promises'
import { generateSigningKey } from '../issuer/keys/signing-key.ts'
import { textOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { refusal, usageError } from './failure.ts'

/**
 * Makes a private signing key. It goes into a new file that only its owner may read, or to standard output where that is no
 * terminal: what a terminal shows is kept by its scrollback.
 */
export async function generateKey({ given, output }: Invocation): Promise<boolean> {
  const file = textOf(given, 'out')
  if (file === undefined && output.isTerminal) {
    throw usageError(
      'the private key is not shown on a terminal: name a new file by --out, or redirect standard output',
    )
  }
  const key = await generateSigningKey(textOf(given, 'alg')).catch((error: unknown) => {
    const { message } = error as Error
    throw usageError(message.replace('generateSigningKey: the algorithm', '--alg'))
  })
  const text = `${JSON.stringify(key)}\n`
  if (file === undefined) {
    output.raw(text)
    return true
  }
  await writeFile(file, text, { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
    const { code } = error as { code?: string }
    throw refusal(
      code === 'EEXIST'
        ? 'the file of --out is there already, and a key is never written over: name another one'
        : `the file of --out cannot be written (${code ?? 'unknown'})`,
    )
  })
  const { kid = '', alg = '' } = key
  output.json({ kid, alg, file })
  output.line(`private key ${kid} (${alg}) written to ${file}`)
  return true
}
