// node esbuild.cjs <entry> <format>: one file in out/
const { buildSync } = require('esbuild')

const [entry, format] = process.argv.slice(2)
const isPage = entry === 'page.mjs'
const { warnings } = buildSync({
  entryPoints: [entry],
  outfile: `out/esbuild-${entry}.${format === 'cjs' ? 'cjs' : 'mjs'}`,
  bundle: true,
  platform: isPage ? 'browser' : 'node',
  format,
  // What is CommonJS in the bundle, as Express is, requires modules of Node.
  banner:
    isPage || format === 'cjs'
      ? {}
      : {
          js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)",
        },
  logLevel: 'warning',
})
if (warnings.length > 0) process.exitCode = 1
