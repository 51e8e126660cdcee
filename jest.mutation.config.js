import config from './jest.config.js'

// It runs once per mutant, so a fiftieth of the sequences of events that `npm test` tries.
process.env.MODEL_SEQUENCES ??= '400'

/** The unit tests that scripts/mutation.mjs picks; each run of them loads every file, so they are few. */
export default {
  ...config.projects[0],
  testMatch: process.env.MUTATION_TESTS.split(',').map((name) => `<rootDir>/test/${name}.test.ts`),
}
