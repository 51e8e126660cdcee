// A typed consumer of the browser's entry.
import { KickoutClient, SignedOutError } from 'express-kickout/client'

export const client = new KickoutClient({
  loginUrl: 'https://login.example.com',
  apiOrigins: ['https://api.example.com'],
})
export const snapshot = client.snapshot()
export const isSignedOut = (error: unknown): boolean => error instanceof SignedOutError
