import { requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'

export const issuer = createTestIssuer()
export const guard = requireAuth(issuer.options)
