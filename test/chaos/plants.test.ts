import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import ts from 'typescript'
import { type Plant, plants, put } from './plants.ts'
import { repository } from './session.ts'

/** What the build makes of a file, near enough: the package is not built when this runs. */
function compiled({ file }: Plant): string {
  const source = file.replace(/^dist\/(.*)\.js$/, 'src/$1.ts')
  const { outputText } = ts.transpileModule(readFileSync(join(repository, source), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
  })
  return outputText
}

test.each(Object.entries(plants))('the code has a place for the fault %s', (_name, plant) => {
  const text = compiled(plant)
  const planted = put(plant, text)
  expect(planted).toContain(plant.to)
  expect(planted).not.toBe(text)
})

test('a fault that finds no place is an error', () => {
  expect(() => put(plants.grandparent, 'return 1')).toThrow(/no place/)
})
