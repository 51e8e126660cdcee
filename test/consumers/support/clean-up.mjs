import { rmSync } from 'node:fs'

export default function cleanUp() {
  const folder = process.env.CONSUMERS_FOLDER
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}
