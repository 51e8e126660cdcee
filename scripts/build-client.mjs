import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const path = (relative) => fileURLToPath(new URL(`../${relative}`, import.meta.url))

// The browser's entry is one file without comments, because a page without a bundler loads it as it is.
await build({
  entryPoints: [path('src/client/index.ts')],
  outfile: path('dist/client/index.js'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  legalComments: 'none',
  logLevel: 'warning',
})
const { status } = spawnSync(
  process.execPath,
  [path('node_modules/typescript/bin/tsc'), '-p', path('src/client/tsconfig.build.json')],
  { stdio: 'inherit' },
)
process.exitCode = status ?? 1
