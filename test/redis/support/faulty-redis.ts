import { type Command, Redis } from 'ioredis'

export interface FaultPoint {
  /**
   * `before`: it fails and never reaches Redis. `after`: Redis executes it, and it fails. `lost`: Redis executes it, and
   * no client ever hears of that.
   */
  readonly way: 'before' | 'after' | 'lost'
  /** Which command of those that are sent from now on. */
  readonly index: number
}

export interface FaultyRedis {
  /** Its copies fail at a word: real commands on a real server, but for one. */
  readonly template: Redis
  /** From now on commands are counted, and one of them fails. */
  watch(fault?: FaultPoint): void
  /** @returns how many commands were sent */
  stop(): number
}

/** What a connection sends by itself. */
const ofConnections = new Set(['hello', 'auth', 'select', 'client', 'info', 'readonly'])

export function createFaultyRedis(address: { host: string; port: number }): FaultyRedis {
  const template = new Redis({ ...address, lazyConnect: true })
  const duplicate = template.duplicate.bind(template)
  let fault: FaultPoint | undefined
  let sent = 0
  let isWatching = false

  function spoil(command: Command, way: FaultPoint['way']): void {
    if (way === 'before') command.reject(new Error('This command was never sent'))
    if (way === 'after') {
      command.resolve = () => command.reject(new Error('This command was executed, and failed'))
    }
    if (way === 'lost') command.resolve = () => undefined
  }

  template.duplicate = (...args: Parameters<typeof duplicate>) => {
    const copy = duplicate(...args)
    // A reader does not reconnect by itself. It follows the log in the background, beside every operation.
    if (args[0]?.retryStrategy === null) return copy
    const send = copy.sendCommand.bind(copy)
    copy.sendCommand = (command, ...rest) => {
      if (isWatching && !ofConnections.has(command.name) && fault?.index === sent++) {
        spoil(command, fault.way)
        if (fault.way === 'before') return command.promise
      }
      return send(command, ...rest)
    }
    return copy
  }

  return {
    template,
    watch(next) {
      fault = next
      sent = 0
      isWatching = true
    },
    stop() {
      isWatching = false
      return sent
    },
  }
}
