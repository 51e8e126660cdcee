import { createRequire } from 'node:module'
import express from 'express'

/** The alias has no types of its own; what the tests use of it has not changed between the versions. */
const express4 = createRequire(import.meta.url)('express4') as typeof express

/** For `describe.each`: every version of Express that the package supports. */
export const expressVersions: [string, typeof express][] = [
  ['Express 5', express],
  ['Express 4', express4],
]
