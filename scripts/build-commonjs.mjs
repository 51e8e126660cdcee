/**
 * Makes the CommonJS build of what `tsc` has put into dist: beside each entry of package.json `exports` a `.cjs` and a `.d.cts`,
 * and in dist/chunks what several entries have in common.
 *
 * It is for loaders that cannot `require()` an ES module: Jest without flags, and bundlers and compilers that are set to CommonJS.
 * jose has no CommonJS build, so this one carries it; every other package stays outside.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'

const path = (relative) => fileURLToPath(new URL(`../${relative}`, import.meta.url))
const manifest = JSON.parse(readFileSync(path('package.json'), 'utf8'))

/** `issuer/index`, … */
const entries = Object.values(manifest.exports)
  .filter((target) => typeof target === 'object')
  .map(({ default: file }) => file.replace(/^\.\/dist\/(.*)\.js$/, '$1'))
const inputs = (extension) =>
  Object.fromEntries(entries.map((entry) => [entry, path(`dist/${entry}${extension}`)]))

const joseFolder = fileURLToPath(import.meta.resolve('jose')).replace(/dist\/.*$/, '')

const isJose = (id) => /^jose(\/|$)/.test(id)
/** Everything but our own files and jose. */
const isOutside = (id) => !id.startsWith('.') && !id.startsWith('/') && !isJose(id)
const resolveJose = (toFile) => ({
  name: 'resolve-jose',
  resolveId: (id) => (isJose(id) ? toFile(fileURLToPath(import.meta.resolve(id))) : null),
})
/**
 * A warning is a mistake in the build, such as a cycle or an import that nothing answers to. Two are none: the entry of types only
 * is empty, and the types plugin lists types that no entry exports (the tests compile what would suffer from it).
 */
const harmless = ['EMPTY_BUNDLE', 'PLUGIN_WARNING']
const onLog = (level, log) => {
  if (level === 'warn' && !harmless.includes(log.code)) throw new Error(log.message)
}

/** After the path of the module that Rollup names a chunk after: several are called `index`, and would be numbered. */
function nameOf({ name, moduleIds }) {
  const named = moduleIds.find(
    (id) => basename(id) === `${name}.js` && id.startsWith(path('dist/')),
  )
  if (named === undefined) return name
  return named.slice(path('dist/').length, -'.js'.length).replaceAll('/', '-')
}

const code = await rollup({
  input: inputs('.js'),
  external: isOutside,
  plugins: [resolveJose((file) => file)],
  onLog,
})
await code.write({
  dir: path('dist'),
  format: 'cjs',
  entryFileNames: '[name].cjs',
  chunkFileNames: (chunk) => `chunks/${nameOf(chunk)}.cjs`,
  exports: 'named',
  hoistTransitiveImports: false,
  // Jest without flags can no more `import()` than it can `require()` an ES module.
  dynamicImportInCjs: false,
  interop: 'default',
  generatedCode: 'es2015',
  manualChunks: (id) => (id.startsWith(joseFolder) ? 'jose' : undefined),
  // Its licence asks to come along.
  banner: ({ name }) =>
    name === 'jose' ? `/*!\njose\n\n${readFileSync(`${joseFolder}LICENSE.md`, 'utf8')}*/` : '',
})
await code.close()

const types = await rollup({
  input: inputs('.d.ts'),
  external: isOutside,
  plugins: [
    resolveJose((file) => file.replace(/webapi\/(.*)\.js$/, 'types/$1.d.ts')),
    dts({ respectExternal: true }),
  ],
  onLog,
})
await types.write({
  dir: path('dist'),
  format: 'es',
  hoistTransitiveImports: false,
  entryFileNames: '[name].d.cts',
  chunkFileNames: ({ name }) => `chunks/${name.replace(/\.d$/, '')}.d.cts`,
  manualChunks: (id) => (id.startsWith(joseFolder) ? 'jose' : undefined),
})
await types.close()
