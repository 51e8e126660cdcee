#!/usr/bin/env node
import { readFile } from 'node:fs/promises'
import { assertKnown, parseArguments, type ParsedArguments } from './arguments.ts'
import { type Command, commands } from './commands.ts'
import { readEnvironment } from './environment.ts'
import { CommandFailure, exitCodes, firstLine, usageError } from './failure.ts'
import { generalHelp, helpOf } from './help.ts'
import { Output } from './output.ts'
import { isClosedPipe, readAll } from './standard-streams.ts'

/** Options of every command. */
const everywhere = ['json', 'help', 'version'] as const

/** @throws CommandFailure unless the words are exactly those of a command */
function findCommand(words: readonly string[]): Command {
  const found = commands.find(({ words: wanted }) =>
    wanted.every((word, index) => words[index] === word),
  )
  const names = commands.map(({ words: known }) => known.join(' '))
  if (!found) throw usageError(`unknown command; known are ${names.join(', ')}`)
  if (words.length > found.words.length) {
    throw usageError(
      found.words[0] === 'token'
        ? 'token inspect reads the token from standard input: other users of this machine can see arguments'
        : `${found.words.join(' ')} takes options only, and an argument without a name is given`,
    )
  }
  return found
}

async function version(): Promise<string> {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

async function run({ words, given }: ParsedArguments, output: Output): Promise<number> {
  if (given.version === true) {
    output.raw(`${await version()}\n`)
    return exitCodes.done
  }
  if (words.length === 0) {
    if (given.help !== true) throw usageError(`a command is missing\n${generalHelp()}`)
    output.raw(generalHelp())
    return exitCodes.done
  }
  const command = findCommand(words)
  if (given.help === true) {
    output.raw(helpOf(command))
    return exitCodes.done
  }
  assertKnown(Object.keys(given), [...command.options, ...everywhere])
  const perform = await command.load()
  const isDone = await perform({
    given,
    environment: readEnvironment(),
    output,
    readInput: readAll,
  })
  return isDone ? exitCodes.done : exitCodes.refused
}

/** A failure in the form that was asked for: one line on standard error, or JSON for scripts. */
function report(error: unknown, output: Output): number {
  const isOurs = error instanceof CommandFailure
  const exitCode = isOurs ? error.exitCode : exitCodes.refused
  const message = isOurs ? error.message : firstLine(error)
  output.failure(message, exitCode)
  return exitCode
}

async function main(args: readonly string[]): Promise<number> {
  let output = new Output(args.includes('--json'), process.stdout, process.stderr)
  try {
    const parsed = parseArguments(args)
    output = new Output(parsed.given.json === true, process.stdout, process.stderr)
    return await run(parsed, output)
  } catch (error) {
    return report(error, output)
  }
}

// `| head` closes the pipe; there is nothing left to say then.
process.stdout.on('error', (error) => {
  if (!isClosedPipe(error)) throw error
  process.exit(exitCodes.done)
})
process.exitCode = await main(process.argv.slice(2))
