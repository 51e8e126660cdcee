import config from './jest.config.js'

// Run once per mutant, so a fiftieth of what `npm test` runs.
process.env.MODEL_SEQUENCES ??= '400'

const { displayName: _name, ...unit } = config.projects[0]
const tests = (folder, names = ['*']) =>
  names.map((name) => `<rootDir>/test/${folder}/${name}.test.ts`)

/** The tests that `npm run mutation` runs against every mutant: fast ones, and only those about what is mutated. */
export default {
  ...unit,
  testMatch: [
    ...tests('guard'),
    ...tests('revocation'),
    ...tests('issuer'),
    ...tests('attacks', [
      'tokens',
      'bearer',
      'caches',
      'identity',
      'time',
      'refresh',
      'revocation',
    ]),
  ],
}
