import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Packs the package once for all consumers; `npm pack` builds it. The folder also holds the projects of the consumers. */
export default function pack() {
  const folder = mkdtempSync(join(tmpdir(), 'kickout-consumers-'))
  const { status, stdout, stderr } = spawnSync(
    'npm',
    ['pack', '--silent', '--pack-destination', folder],
    { cwd: join(import.meta.dirname, '../../..'), encoding: 'utf8' },
  )
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (status !== 0 || tarball === undefined)
    throw new Error(`npm pack failed:\n${stdout}\n${stderr}`)
  process.env.CONSUMERS_FOLDER = folder
  process.env.CONSUMERS_TARBALL = join(folder, tarball)
}
