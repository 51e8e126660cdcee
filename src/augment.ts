/**
 * Types only, opt-in: `import 'express-kickout/augment'` types `req.auth` on every Express request. Two other packages
 * declare the same property, so the main entry leaves it alone.
 */
import type { Auth } from './auth.ts'

declare global {
  namespace Express {
    /** Express' request, with the property that the guard sets. */
    interface Request {
      /**
       * Who sent the request. Absent in front of the guard, and with `credentials: 'optional'` where there was no token.
       */
      auth?: Auth
    }
  }
}
