import { describe, expect, test } from '@jest/globals'
import { makeProject, NODES, nodeOf } from './support/project.ts'

/* NestJS: the guard as middleware, a route guard as a guard of Nest, errors through a filter. */

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
    await project.node(['node_modules/typescript/bin/tsc'])
    for (const version of NODES) {
      const printed = await project.node(['out/app.js'], { node: await nodeOf(version) })
      expect(printed).toBe('kicked out\n')
    }
  })
})
