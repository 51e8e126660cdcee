import { options, type OptionName } from './arguments.ts'
import { type Command, commands } from './commands.ts'

function usageOf({ words }: Command): string {
  return words.join(' ')
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

/** How the command is used as a whole. */
export function generalHelp(): string {
  return (
    'Usage: express-kickout <command> [options] [--json]\n\n' +
    columns(commands.map((command) => [usageOf(command), command.summary])) +
    '\nThe store is the one of KICKOUT_REDIS_URL or KICKOUT_POSTGRES_URL; --redis URL and --postgres URL name another.\n' +
    'Exit code: 0 done, 1 refused or not confirmed everywhere, 2 wrong usage, 3 unreachable.\n' +
    'express-kickout <command> --help says more.\n'
  )
}

/** How one command is used. */
export function helpOf(command: Command): string {
  const names: OptionName[] = [...command.options, 'json']
  const rows = names.map((name): [string, string] => {
    const definition = options[name]
    const value = 'value' in definition ? ` ${definition.value}` : ''
    return [`--${name}${value}`, definition.meaning]
  })
  return `Usage: express-kickout ${usageOf(command)} [options]\n\n${command.summary}\n\n${columns(rows)}`
}
