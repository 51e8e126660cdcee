import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { pinTo } from '../machine.mjs'

const patienceMs = 3000
const bench = new URL('../', import.meta.url)

/**
 * Starts a module of the bench in a process of its own and waits until it has answered `start`.
 *
 * @param file path of the module below `bench/`; it calls `answer` of `child.mjs`
 */
export async function launch(file, config, { pin, nodeArgs = [] } = {}) {
  const script = fileURLToPath(new URL(file, bench))
  const [command, ...args] = [...pinTo(pin), process.execPath, ...nodeArgs, script]
  const child = spawn(command, args, {
    cwd: fileURLToPath(bench),
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const waiting = new Map()
  let asked = 0
  const ended = new Promise((resolve) => child.once('exit', resolve))
  void ended.then((code) => {
    for (const { reject } of waiting.values()) reject(new Error(`${file} ended with ${code}`))
    waiting.clear()
  })
  child.on('message', ({ id, value, error }) => {
    const { resolve, reject } = waiting.get(id) ?? {}
    waiting.delete(id)
    if (error === undefined) resolve?.(value)
    else reject?.(new Error(`${file}: ${error}`))
  })

  async function ask(command, argument) {
    const id = ++asked
    const answered = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
    child.send({ id, command, argument }, (error) => {
      if (error) waiting.get(id)?.reject(error)
    })
    return answered
  }

  async function stop() {
    if (child.connected) child.disconnect()
    const killer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
    await ended
    clearTimeout(killer)
  }

  try {
    const started = await ask('start', config)
    return { ...started, pid: child.pid, ask, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
