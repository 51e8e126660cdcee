import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../support/random.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import type { Member } from './fleet.ts'

export interface MemberFault {
  readonly what: string
  readonly isClock?: true
  cause(member: Member, random: Random): Promise<() => Promise<unknown>>
}

const onEach =
  (act: (proxy: TcpProxy) => void) =>
  ({ proxies }: Member): void => {
    for (const proxy of proxies) act(proxy)
  }

const pass = onEach((proxy) => proxy.pass())

function onLinks(what: string, act: (proxy: TcpProxy, random: Random) => void): MemberFault {
  return {
    what,
    async cause(member, random) {
      onEach((proxy) => act(proxy, random))(member)
      return async () => pass(member)
    },
  }
}

function clock(what: string, aheadSeconds: number): MemberFault {
  return {
    what,
    isClock: true,
    async cause(member) {
      member.setClock(aheadSeconds)
      return async () => {
        member.setClock(0)
        // The library looks at its file once a second.
        await sleep(1200)
      }
    },
  }
}

/** What can happen to one process, or to its links with the store. */
export const memberFaults: readonly MemberFault[] = [
  {
    what: 'kill -9 and start',
    async cause(member) {
      await member.kill()
      return async () => member.start()
    },
  },
  {
    what: 'SIGSTOP and SIGCONT',
    async cause(member) {
      member.pause()
      return async () => member.resume()
    },
  },
  onLinks('connections reset', (proxy) => proxy.reset()),
  onLinks('links silent, without FIN', (proxy) => proxy.blackhole()),
  onLinks('answers do not arrive', (proxy) => proxy.blackhole('toClient')),
  onLinks('questions do not arrive', (proxy) => proxy.blackhole('toUpstream')),
  onLinks('links slow', (proxy, random) => proxy.delay(20 + random.below(200))),
  {
    what: 'answers slow, then silent',
    async cause(member, random) {
      onEach((proxy) => proxy.delay(400 + random.below(150), 'toClient'))(member)
      await sleep(1500 + random.below(1500))
      onEach((proxy) => proxy.blackhole())(member)
      await sleep(2500)
      return async () => pass(member)
    },
  },
  clock('clock an hour ahead', 3600),
  clock('clock an hour behind', -3600),
  {
    what: 'restart with a longer retention',
    async cause(member, random) {
      await member.kill()
      return async () => member.start({ retentionSeconds: 4000 + random.below(4) * 1000 })
    },
  },
]
