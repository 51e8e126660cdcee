/** More than any token has. A longer input is the wrong file. */
const maxInputBytes = 1024 * 1024

/**
 * Reads all of standard input.
 *
 * @throws Error for more than a megabyte
 */
export async function readAll(): Promise<string> {
  let text = ''
  process.stdin.setEncoding('utf8')
  for await (const chunk of process.stdin) {
    text += chunk as string
    if (text.length > maxInputBytes) throw new Error('standard input has more than 1 MB')
  }
  return text
}

export function isClosedPipe(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === 'EPIPE'
}
