import type { Servers } from '../servers.ts'
import { Device, type Tokens } from './device.ts'
import { duration, expectEqual, step } from './narrator.ts'

interface KickOutAnswer {
  confirmed: number
  servers: number
  elapsed_ms: number
  sessions_ended: number
}

/** The whole life of a session over HTTP, from the sign-in to the kick-out and back. */
export async function tellStory(servers: Servers): Promise<void> {
  const ada = new Device(servers, 'ada', 'desk')
  const laptop = new Device(servers, 'ben', 'laptop')
  const phone = new Device(servers, 'ben', 'phone')
  const thief = new Device(servers, 'ben', 'laptop, stolen')

  await step('Ben signs in on a laptop and on a phone, Ada at her desk', async () => {
    await Promise.all([laptop.signIn(), phone.signIn(), ada.signIn()])
    return 'three sessions; nearly all of that time is the password hash, slow on purpose'
  })

  await step('Both of Ben’s devices call the API', async () => {
    expectEqual('the laptop reads', await laptop.readNotes(), '200')
    expectEqual('the phone reads', await phone.readNotes(), '200')
    expectEqual('the laptop adds a note', (await laptop.addNote('Buy lead')).status, 201)
    const startedAt = performance.now()
    await laptop.readNotes()
    return `200, 200, 201; once more with the token it knows by now: ${duration(performance.now() - startedAt)}`
  })

  await step('The phone asks for less and is held to it', async () => {
    const narrow = await phone.refresh(undefined, { scope: 'notes:read' })
    expectEqual('narrowing the scope', narrow.status, 200)
    expectEqual('reading', await phone.readNotes(), '200')
    const refused = await phone.addNote('Not allowed')
    expectEqual('adding', refused.status, 403)
    const challenge = refused.headers.get('www-authenticate') ?? ''
    return `200 for reading; for adding 403 ${/error="(\w+)"/.exec(challenge)?.[1] ?? ''}, in the standard challenge`
  })

  await step('The phone refreshes and has its full scope back', async () => {
    const before = phone.tokens.refresh_token
    expectEqual('the refresh', (await phone.refresh()).status, 200)
    expectEqual('adding', (await phone.addNote('From the phone')).status, 201)
    expectEqual('the token was replaced', phone.tokens.refresh_token === before, false)
    return 'a new access token and a new refresh token; the session keeps its grant'
  })

  await step('Two tabs refresh at once with the same token', async () => {
    const shared = laptop.tokens.refresh_token
    const answers = await Promise.all([laptop.refresh(shared), laptop.refresh(shared)])
    const tabs = await Promise.all(answers.map(async (answer) => (await answer.json()) as Tokens))
    for (const [index, tab] of tabs.entries()) {
      expectEqual(`tab ${index + 1} refreshes`, answers[index]?.status, 200)
      expectEqual(`tab ${index + 1} reads`, await laptop.readNotes(tab.access_token), '200')
    }
    const [first, second] = tabs.map((tab) => tab.refresh_token)
    expectEqual('both got the same successor', first === second, true)
    return 'both go on, with the same successor: a lost race is no theft'
  })

  await step('An old refresh token comes back: thief and victim are both out', async () => {
    const stolen = laptop.tokens.refresh_token
    await laptop.refresh()
    await laptop.refresh()
    const victim = { ...laptop.tokens }
    const answer = await thief.refresh(stolen)
    expectEqual('the thief', answer.status, 400)
    expectEqual('the victim reads', await laptop.readUntil('401', victim.access_token), '401')
    expectEqual('the victim refreshes', (await laptop.refresh()).status, 400)
    expectEqual('the phone, another session, reads', await phone.readNotes(), '200')
    return 'thief 400 invalid_grant, laptop 401 on every server; the phone is not touched'
  })

  await step('One access token is revoked', async () => {
    const gone = phone.tokens.access_token
    expectEqual('POST /revoke', (await phone.revoke(gone)).status, 200)
    expectEqual('that token', await phone.readNotes(gone), '401')
    expectEqual('a refresh', (await phone.refresh()).status, 200)
    expectEqual('the next token', await phone.readNotes(), '200')
    return 'that one is 401 at once; its session goes on with the next'
  })

  await laptop.signIn()
  await step('Ada kicks Ben out: every device, every server, every open connection', async () => {
    const { closed } = await phone.openStreams()
    const sockets = await laptop.openSockets()
    const startedAt = performance.now()
    const answer = await ada.call(`${servers.loginUrl}/admin/kick-outs`, {
      method: 'POST',
      body: JSON.stringify({ subject: 'ben', reason: 'left the company' }),
    })
    expectEqual('the kick-out', answer.status, 200)
    const result = (await answer.json()) as KickOutAnswer
    expectEqual('servers that confirmed', result.confirmed, result.servers)
    expectEqual('the laptop reads', await laptop.readNotes(), '401')
    expectEqual('the phone reads', await phone.readNotes(), '401')
    const cutAfter = duration((await closed) - startedAt)
    const { at, codes } = await sockets.closed
    expectEqual('how the WebSockets were closed', codes, '4401')
    expectEqual('the laptop refreshes', (await laptop.refresh()).status, 400)
    return (
      `in force on ${result.confirmed} of ${result.servers} servers after ${duration(result.elapsed_ms)}, ` +
      `streams cut after ${cutAfter}, WebSockets closed with ${codes} after ${duration(at - startedAt)}, ` +
      `${result.sessions_ended} sessions ended`
    )
  })

  await step('Ben signs in again at once and is in', async () => {
    await laptop.signIn()
    expectEqual('the laptop reads', await laptop.readNotes(), '200')
    expectEqual('the phone still reads', await phone.readNotes(), '401')
    return 'the new session is in, everything from before stays out'
  })

  await step('Ada looks it up', async () => {
    const answer = await ada.call(`${servers.loginUrl}/admin/kick-outs?limit=1`)
    const { kick_outs: kickOuts } = (await answer.json()) as {
      kick_outs: { by: { subject?: string } | null; target: string; reason: string }[]
    }
    const [latest] = kickOuts
    expectEqual('the latest kick-out is of', latest?.target, 'ben')
    expectEqual('the laptop may not look', (await laptop.call(answer.url)).status, 403)
    return `${latest?.target ?? ''}, by ${latest?.by?.subject ?? ''}: “${latest?.reason ?? ''}”; to Ben the same page is 403`
  })
}
