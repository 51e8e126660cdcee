/**
 * Types only, opt-in: `import 'express-kickout/augment'` types `req.auth` on every Express request. Two other packages
 * declare the same property, so the main entry leaves it alone.
 */
import type { Auth } from './auth.ts'

declare global {
  namespace Express {
    interface Request {
      auth?: Auth
    }
  }
}
