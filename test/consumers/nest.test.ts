import { describe, expect, test } from '@jest/globals'
import { readPage } from '../support/documentation.ts'
import { onFreePorts } from '../support/free-port.ts'
import { makeProject, NODES, nodeOf } from './support/project.ts'

/*
 * docs/nestjs.md, file by file: the guard as middleware, a route guard as a guard of Nest, errors through a filter. Only
 * guard.ts is another, with the tests' issuer.
 */

/** The files of the page by their names, which stand in their first lines. */
function documentedFiles(): [name: string, text: string][] {
  const blocks = readPage('docs/nestjs.md').matchAll(/^```typescript\n\/\/ (\S+)\n([^]*?)^```/gm)
  return [...blocks].map(([, name = '', text = '']) => [name, text])
}

const PROJECTS = [
  { nest: '^11', type: 'commonjs', options: { module: 'commonjs', moduleResolution: 'node10' } },
  { nest: '^11', type: 'commonjs', options: { module: 'nodenext' } },
  { nest: '^12', type: 'module', options: { module: 'nodenext' } },
] as const

describe.each(PROJECTS)('Nest $nest, $options', ({ nest, type, options }) => {
  test('guards routes and kicks out', async () => {
    const project = await makeProject({
      files: 'nest',
      type,
      packages: {
        '@nestjs/common': nest,
        '@nestjs/core': nest,
        '@nestjs/platform-express': nest,
        'reflect-metadata': '^0.2',
        rxjs: '^7',
        express: '^5',
        typescript: '^5.9',
        '@types/express': '^5',
        '@types/node': '^20',
      },
    })
    await project.write('tsconfig.json', {
      compilerOptions: {
        ...options,
        target: 'es2022',
        lib: ['es2023'],
        types: ['node'],
        strict: true,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
        esModuleInterop: true,
        // Nest's own declarations need it.
        skipLibCheck: true,
        outDir: 'out',
      },
      files: ['app.ts'],
    })
    const files = documentedFiles()
    expect(files.map(([name]) => name)).toEqual(['kickout.ts', 'app.module.ts', 'main.ts'])
    for (const [name, text] of files) await project.write(name, text)
    await project.node(['node_modules/typescript/bin/tsc'])
    for (const version of NODES) {
      const node = await nodeOf(version)
      const printed = await onFreePorts(1, async (port) =>
        project.node(['out/app.js'], { node, env: { PORT: String(port), NO_COLOR: '1' } }),
      )
      expect(printed).toMatch(/kicked out\n$/)
      // A refusal is no failure of the application: Nest logs none.
      expect(printed).not.toMatch(/ERROR/)
    }
  })
})
