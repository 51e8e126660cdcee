import { jest } from '@jest/globals'

// jest reads `testTimeout` from the root of its configuration only; this is how each project has its own.
jest.setTimeout(globalThis.PROJECT_TIMEOUT_MS)
