// A page that is bundled for a browser: nothing of the servers comes along.
import { KickoutClient } from 'express-kickout/client'

globalThis.client = new KickoutClient({
  loginUrl: 'https://login.example.com',
  apiOrigins: ['https://api.example.com'],
})
