import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Violation } from './check.ts'
import { repository } from './session.ts'

/** A fault that is put into a copy of the built package, to see whether the checker finds it. */
export interface Plant {
  readonly file: string
  readonly from: RegExp
  readonly to: string
  /** Where it has to show. */
  readonly claims: readonly Violation['claim'][]
  /** What brings it out, and is done more often than in an ordinary run. */
  readonly favourite?: string
}

export const plants = {
  /** Freshness is dated by the arrival of an answer. */
  arrival: {
    file: 'dist/redis/kick-outs/follow.js',
    from: /return onRound\(this\.#state, \{\s*sentAt,/,
    to: 'return onRound(this.#state, { sentAt: instantOf(this.#deps.clock),',
    claims: ['C1', 'C3'],
    favourite: 'answers slow, then silent',
  },
  /** The token before the previous one has a grace too. */
  grandparent: {
    file: 'dist/redis/scripts/rotate.js',
    from: /local in_grace = is_previous and/,
    to: 'local in_grace = (is_previous or presented == current - 2) and',
    claims: ['C2'],
  },
  /** A look-up that fails lets the token in. */
  'fail-open': {
    file: 'dist/redis/kick-outs/look-up.js',
    from: /throw copyOf\(this\.#lastError\);/,
    to: 'return { revoked: false };',
    claims: ['C1', 'C3'],
  },
} as const satisfies Record<string, Plant>

export type PlantName = keyof typeof plants
export const plantNames = Object.keys(plants) as PlantName[]

/** @throws Error where the code has no place for the fault */
export function put({ file, from, to }: Plant, text: string): string {
  if (!from.test(text)) throw new Error(`${file} has no place for the fault`)
  return text.replaceAll(new RegExp(from, 'g'), to)
}

/** Runs something with a copy of the package that has the fault, and removes it afterwards. */
export async function withPlant<Result>(
  name: PlantName,
  act: (root: string, plant: Plant) => Promise<Result>,
): Promise<Result> {
  const plant: Plant = plants[name]
  const { file } = plant
  const root = mkdtempSync(join(tmpdir(), 'kickout-planted-'))
  try {
    for (const part of ['dist', 'package.json', 'tsconfig.json', 'tsconfig.build.json']) {
      cpSync(join(repository, part), join(root, part), { recursive: true })
    }
    for (const part of ['chaos', 'drills', 'support']) {
      cpSync(join(repository, 'test', part), join(root, 'test', part), { recursive: true })
    }
    symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'))
    const path = join(root, file)
    writeFileSync(path, put(plant, readFileSync(path, 'utf8')))
    return await act(root, plant)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}
