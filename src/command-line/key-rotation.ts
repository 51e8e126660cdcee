import { systemClock } from '../clock.ts'
import { StoredSigningKeys } from '../issuer/keys/stored-signing-keys.ts'
import type { KeyStore, SigningAlgorithm, StoredKey } from '../key-store/key-store.ts'
import { rotationDefaults, signingAlgorithms } from '../key-store/key-store.ts'
import { KeysRefused } from '../key-store/seal.ts'
import { type Given, textOf, wholeNumberOf } from './arguments.ts'
import type { Invocation } from './commands.ts'
import { variables } from './environment.ts'
import { refusal, storeFailure, usageError } from './failure.ts'
import { readId } from './kick-out.ts'
import { momentText } from './output.ts'
import { assertFitting, findAddress, loadPeer, placeOf, type StoreAddress } from './store.ts'

/**
 * How long this command leaves older keys published, milliseconds. The issuers know how long their tokens live and take keys
 * out themselves; a command that knows less must not be quicker.
 */
const keepMs = 30 * 86_400_000
const maxAheadSeconds = 30 * 86_400

interface KeyStoreSettings {
  readonly encryptionKey: readonly string[]
  readonly algorithm?: SigningAlgorithm
}

/** Keys are given by a variable alone: an argument can be read by every user of the machine. */
function readEncryptionKeys({ environment }: Invocation): string[] {
  const text = environment.encryptionKeys
  if (text === undefined) {
    throw usageError(
      `${variables.encryptionKeys} is missing: the "encryptionKey" of your key store (several as a JSON list, the first encrypts)`,
    )
  }
  if (!text.startsWith('[')) return [text]
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    // The message of the parser would quote the key.
  }
  if (Array.isArray(list) && list.every((key) => typeof key === 'string')) return list
  throw usageError(`${variables.encryptionKeys} begins with [ and is no JSON list of strings`)
}

function readAlgorithm({ given }: Invocation): SigningAlgorithm | undefined {
  const name = textOf(given, 'alg')
  const algorithm = signingAlgorithms.find((known) => known === name)
  if (name === undefined || algorithm) return algorithm
  throw usageError(`--alg must be one of ${signingAlgorithms.join(', ')}`)
}

/** Makes the next key like the newest one unless told otherwise. */
function algorithmOf([newest]: readonly StoredKey[]): SigningAlgorithm {
  return signingAlgorithms.find((known) => known === newest?.jwk.alg) ?? 'ES256'
}

async function readKeys(store: KeyStore, issuer: string): Promise<readonly StoredKey[]> {
  const { keys } = await store.read(issuer)
  if (keys) return [...keys].sort((a, b) => b.signsFrom - a.signsFrom)
  throw refusal(
    `no signing key of ${issuer} is stored there: --issuer has to be exactly the option "issuer", and --prefix that of the key store. ` +
      'The first key is made by the issuer itself',
  )
}

/** Key stores on one database, each with its settings. */
interface KeyStores {
  open(settings: KeyStoreSettings): KeyStore
  close(): Promise<void>
}

async function onRedis({ url }: StoreAddress, given: Given): Promise<KeyStores> {
  const { connectToRedis } = await loadPeer('ioredis', async () => import('./redis-client.ts'))
  const { redisKeyStore } = await import('../redis/index.ts')
  const prefix = textOf(given, 'prefix')
  // A Cluster is recognised by one of its nodes; the client serves as a template.
  const connection = await connectToRedis(url)
  return {
    open: (settings) =>
      redisKeyStore(connection.client, { ...settings, ...(prefix !== undefined && { prefix }) }),
    async close() {
      connection.close()
      await Promise.resolve()
    },
  }
}

async function onPostgres({ url }: StoreAddress, given: Given): Promise<KeyStores> {
  const { endPool, openPool } = await loadPeer('pg', async () => import('./postgres-store.ts'))
  const { postgresKeyStore } = await import('../postgres/index.ts')
  const schema = textOf(given, 'schema')
  const pool = openPool(url)
  return {
    open: (settings) =>
      postgresKeyStore(pool, { ...settings, ...(schema !== undefined && { schema }) }),
    close: async () => endPool(pool),
  }
}

/** Works with a key store, and closes it. */
async function withKeyStore<Result>(
  store: KeyStore,
  use: (store: KeyStore) => Promise<Result>,
): Promise<Result> {
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

/** Has the next signing key published now, and used by every issuer process once all resource servers know it. */
export async function rotateKeys(invocation: Invocation): Promise<boolean> {
  const { given, environment, output } = invocation
  const issuer = readId(given, 'issuer') ?? environment.issuer
  if (issuer === undefined) throw usageError('--issuer is missing: the option "issuer" of yours')
  const address = findAddress(invocation)
  if (!address) {
    throw usageError(
      `no store is named: set ${variables.redisUrl} or ${variables.postgresUrl}, or pass --redis URL or --postgres URL`,
    )
  }
  assertFitting(given, address)
  const encryptionKey = readEncryptionKeys(invocation)
  const asked = readAlgorithm(invocation)
  const ahead = wholeNumberOf(given, 'publish-ahead', { min: 0, max: maxAheadSeconds })
  const publishAheadMs = (ahead ?? rotationDefaults.publishAheadSeconds) * 1000
  const place = placeOf(address)
  try {
    const stores = await (address.kind === 'redis' ? onRedis : onPostgres)(address, given)
    try {
      const before = await withKeyStore(stores.open({ encryptionKey }), async (store) =>
        readKeys(store, issuer),
      )
      const algorithm = asked ?? algorithmOf(before)
      const rules = { publishAheadMs, keepMs, everyMs: undefined }
      const keys = new StoredSigningKeys(issuer, stores.open({ encryptionKey, algorithm }), rules, {
        clock: systemClock,
        emit: () => undefined,
      })
      const { kid, signsAt } = await keys.rotate().finally(async () => keys.close())
      output.json({ kid, alg: algorithm, signs_at: signsAt, published_before: before.length })
      output.line(`key ${kid} (${algorithm}) of ${issuer} is stored`)
      output.line('  every issuer process publishes it within 10 s')
      output.line(
        `  it signs from ${momentText(signsAt)} on; the keys of before stay published meanwhile`,
      )
      return true
    } finally {
      await stores.close()
    }
  } catch (error) {
    if (error instanceof TypeError) throw usageError(error.message)
    if (error instanceof KeysRefused) throw refusal(error.message)
    throw storeFailure(place, error)
  }
}
