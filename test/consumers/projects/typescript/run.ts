// What was compiled also runs.
import { getAuth, requireAuth } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'
import type { NextFunction, Request, Response } from 'express'

const issuer = createTestIssuer()
const guard = requireAuth(issuer.options)

issuer
  .token({ subject: 'u1' })
  .then((token) => {
    const rawHeaders = ['Authorization', `Bearer ${token}`]
    const req = { headers: { authorization: rawHeaders[1] }, rawHeaders } as unknown as Request
    const next: NextFunction = (error?: unknown) =>
      console.log(error === undefined ? `let in ${getAuth(req).subject}` : error)
    guard(req, {} as Response, next)
  })
  .catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
