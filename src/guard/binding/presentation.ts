import type { Scheme } from '../bearer.ts'

/** The parts of a request that a proof of possession is compared with, as Node's and Express' requests have them. */
export interface PresentingRequest {
  /** The headers as they were sent, names and values in turn: repeated ones are seen there alone. */
  readonly rawHeaders: readonly string[]
  /** The HTTP method. */
  readonly method?: string | undefined
  /** The path and query. */
  readonly url?: string | undefined
  /** What Express keeps of `url` while routers below a path change it. */
  readonly originalUrl?: string | undefined
  /** The connection, for the certificate of the client. */
  readonly socket?: unknown
  /** The Express application, for its setting `trust proxy`. */
  readonly app?: unknown
}

/** An access token as it was presented: by whom it is for the checks of its binding to find out. */
export interface Presentation {
  /** `undefined` where the token does not come from the `Authorization` header. */
  readonly scheme: Scheme | undefined
  readonly req: PresentingRequest
}
