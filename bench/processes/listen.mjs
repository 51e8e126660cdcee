/** Listens on a free port of the loopback host and resolves to it. */
export async function listen(app) {
  return new Promise((resolve, reject) => {
    const server = app.listen(0, '127.0.0.1', (error) => {
      if (error) reject(error)
      else resolve(server.address().port)
    })
  })
}
