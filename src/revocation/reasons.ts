/*
 * The reasons, in the history of kick-outs, of the sessions that a store ends by itself. They stand in scripts of Redis and
 * in functions of PostgreSQL, so they hold no quotation marks.
 */

/** A refresh token was used again after its successor. */
export const reuseReason = 'a superseded refresh token was used again'
/** Its user has begun more sessions than a user may have. */
export const surplusReason = 'too many sessions'
