/** What `onEvent` of the receivers of signals is told; never a token. */
export type SignalEvent =
  | {
      readonly type: 'signal.received'
      readonly at: number
      /** Who sent it. */
      readonly issuer: string
      /** How many targets were kicked out; 0 for a repetition. */
      readonly kickOuts: number
    }
  | {
      readonly type: 'signal.rejected'
      readonly at: number
      /** Who is to have sent it; empty where it names no trusted sender. */
      readonly issuer: string
      /** Why it was refused, without any part of it. */
      readonly message: string
    }
