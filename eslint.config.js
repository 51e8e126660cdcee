import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

const processEnv = [
  {
    selector: "MemberExpression[object.name='process'][property.name='env']",
    message: 'Environment variables are read in the files named environment.ts only.',
  },
]

export default defineConfig(
  globalIgnores([
    'dist/',
    'test/consumers/projects/',
    'coverage/',
    'reports/',
    'docs/api/',
    '.stryker-tmp/',
  ]),
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      // `declare global { namespace Express … }` is how Express is augmented.
      '@typescript-eslint/no-namespace': ['error', { allowDeclarations: true }],
      // `() => done()` says that nothing comes back as plainly as braces do.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // `${count}` is how a number gets into a message.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // A parameter that a signature demands, or a property left out by destructuring.
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-console': 'error',
      'no-restricted-syntax': ['error', ...processEnv],
    },
  },
  {
    files: ['src/guard/environment.ts', 'src/command-line/environment.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    // Tests read JSON bodies (`any` from supertest), know that an entry is there, and implement
    // asynchronous interfaces without awaiting anything.
    files: ['test/**/*.ts', 'example-app/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',
      // Tokens and headers are ASCII; tests take them apart.
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-empty-function': 'off',
    },
  },
  {
    // Express 5 takes promise-returning handlers.
    files: ['test/**/*.ts', 'example-app/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-misused-promises': [
        'error',
        { checksVoidReturn: { arguments: false } },
      ],
    },
  },
  {
    files: ['**/*.{cjs,js,mjs}'],
    rules: { 'no-unused-vars': ['error', { argsIgnorePattern: '^_' }] },
    languageOptions: { globals: readonly(...Object.getOwnPropertyNames(globalThis)) },
  },
  {
    // The page that the example serves.
    files: ['example-app/page/**/*.js'],
    languageOptions: {
      globals: readonly(
        'document',
        'EventSource',
        'history',
        'HTMLElement',
        'localStorage',
        'location',
        'navigator',
        'sessionStorage',
        'WebSocket',
        'window',
      ),
    },
  },
)

function readonly(...names) {
  return Object.fromEntries(names.map((name) => [name, 'readonly']))
}
