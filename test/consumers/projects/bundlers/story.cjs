exports.story = async (server, issuer) => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${server.address().port}`
  const token = await issuer.token({ subject: 'u1', scope: 'a' })
  const statuses = []
  const ask = async (given) => {
    const response = await fetch(url, { headers: { authorization: `Bearer ${given}` } })
    statuses.push(response.status)
  }
  await ask('nonsense')
  await ask(await issuer.token({ scope: 'b' }))
  await ask(token)
  await issuer.kickOut({ subject: 'u1' })
  await ask(token)
  server.close()
  server.closeAllConnections()
  console.log(statuses.join(' '))
}
