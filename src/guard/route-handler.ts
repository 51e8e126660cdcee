import type { NextFunction, Request, Response } from 'express'

/**
 * A handler for any route: in `app.get('/reports/:id', requireAuth(), …)` the handlers behind it keep the types of the
 * route's parameters, which a plain `RequestHandler` would widen to those of every route.
 */
export interface RouteHandler {
  <Params, ResBody, ReqBody, Query, Locals extends Record<string, unknown>>(
    req: Request<Params, ResBody, ReqBody, Query, Locals>,
    res: Response<ResBody, Locals>,
    next: NextFunction,
  ): void
}
