/** Whether two requests that reach a middleware have the same shape (hidden class), with Express and without. */
import { createServer, get } from 'node:http'
import express from 'express'
import { listen } from './processes/listen.mjs'

// Natives syntax, which no parser but V8's takes.
const haveSameShape = new Function('a', 'b', 'return %HaveSameMap(a, b)')

async function shapesOf(makeServer) {
  const seen = []
  const server = makeServer((req) => seen.push(req))
  const port = await listen(server)
  for (let count = 0; count < 200; count++) {
    await new Promise((resolve) => {
      get({ port, agent: false }, (res) => res.resume().once('end', resolve))
    })
  }
  const [last, other] = [seen.at(-1), seen.at(-2)]
  return haveSameShape(last, other) ? 'the same shape' : 'a shape of its own'
}

const withExpress = await shapesOf((note) => {
  const app = express()
  app.use((req, res) => {
    note(req)
    res.end()
  })
  return app
})
const without = await shapesOf((note) =>
  createServer((req, res) => {
    note(req)
    res.end()
  }),
)
console.log(`each request has: ${without} with node:http alone, ${withExpress} with Express`)
process.exit()
