import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import ts from 'typescript'
import { environmentVariables } from '../../src/guard/environment.ts'
import { introspectionDefaults } from '../../src/guard/introspection/options.ts'
import { guardDefaults } from '../../src/guard/options.ts'
import { issuerDefaults } from '../../src/issuer/options.ts'
import { redisDefaults } from '../../src/redis/options.ts'
import { memoryReplayDefaults } from '../../src/replay/memory-replay-store.ts'
import { defaultConfirmTimeoutMs } from '../../src/revocation/revocations.ts'
import { documentedDefault, literalOf, rowsOf, sectionOf } from '../support/documentation.ts'

/*
 * The tables of options against the source, in both directions: every option of every public interface has a row, every
 * row is an option, and the default of the row is that of the source.
 */

const root = join(import.meta.dirname, '../..')
const options = 'docs/options.md'

/** Where the members of an interface stand, one row each. */
const TABLES: Record<string, { page: string; heading: string }> = {
  RequireAuthOptions: { page: options, heading: '## requireAuth' },
  TrustedIssuer: { page: options, heading: '### TrustedIssuer' },
  ClaimNames: { page: options, heading: '### ClaimNames' },
  JwksCacheOptions: { page: options, heading: '### JwksCacheOptions' },
  IntrospectionOptions: { page: 'docs/introspection.md', heading: '## Options' },
  AuthContextOptions: { page: options, heading: '### requireAuthContext' },
  ProtectedResourceOptions: { page: options, heading: '### protectedResourceMetadata' },
  KickOutOptions: { page: options, heading: '### kickOut' },
  MemoryRevocationsOptions: { page: options, heading: '### memoryRevocations' },
  MemoryStoreOptions: { page: options, heading: '### memoryStore' },
  MemoryReplayStoreOptions: { page: options, heading: '### memoryReplayStore' },
  RedisRevocationsOptions: { page: options, heading: '### redisRevocations' },
  RedisStoreOptions: { page: options, heading: '### redisStore' },
  RedisReplayStoreOptions: { page: options, heading: '### redisReplayStore' },
  RedisKeyStoreOptions: { page: 'docs/signing-keys.md', heading: '### redisKeyStore' },
  PostgresKeyStoreOptions: { page: 'docs/signing-keys.md', heading: '### postgresKeyStore' },
  RotationOptions: { page: 'docs/signing-keys.md', heading: '### rotation' },
  IssuerOptions: { page: options, heading: '## createIssuer' },
  SessionOptions: { page: options, heading: '### session' },
  CookieOptions: { page: options, heading: '### cookie' },
  StartSessionInput: { page: options, heading: '### startSession' },
  AdminRouterOptions: { page: options, heading: '## adminRouter' },
  TestIssuerOptions: { page: options, heading: '## createTestIssuer' },
  TestTokenOptions: { page: options, heading: '### token' },
}

/** Pages that other tests hold to the source in detail; here each option has to be named on them. */
const NAMED_ON: Record<string, string> = {
  DpopOptions: 'docs/sender-constrained.md',
  MtlsOptions: 'docs/sender-constrained.md',
  Client: 'docs/machines.md',
  PostgresRevocationsOptions: 'docs/postgresql.md',
  PostgresStoreOptions: 'docs/postgresql.md',
  SchemaOptions: 'docs/postgresql.md',
  AcceptUpgradesOptions: 'docs/open-connections.md',
  ConnectionOptions: 'docs/open-connections.md',
  BackChannelLogoutOptions: 'docs/signals.md',
  UniversalLogoutOptions: 'docs/signals.md',
  KickoutClientOptions: 'docs/browser.md',
  InstrumentOptions: 'docs/metrics.md',
}

/** Interfaces that others extend. Their members are in the tables of those. */
const BASES = [
  'KeyStoreOptions',
  'RedisLayoutOptions',
  'PostgresLayoutOptions',
  'SubprotocolOptions',
]

interface Member {
  readonly name: string
  /** The text of `@defaultValue`. */
  readonly fallback: string | undefined
}

const interfaces = publicInterfaces()

test('every public interface of options is documented on a page', () => {
  const wanted = [...interfaces.keys()].filter(
    (name) => name.endsWith('Options') && !BASES.includes(name),
  )
  expect(wanted.filter((name) => !(name in TABLES) && !(name in NAMED_ON))).toEqual([])
})

describe.each(Object.entries(TABLES))('%s', (name, { page, heading }) => {
  const members = interfaces.get(name) ?? []
  const section = sectionOf(page, heading)

  test('has a row for each option, and no other', () => {
    const [, ...rows] = rowsOf(section)
    const documented = rows.map(([cell = '']) => cell.replaceAll('`', ''))
    expect([...documented].sort()).toEqual(members.map((member) => member.name).sort())
  })

  test('has the defaults of the source', () => {
    const wanted = members
      .map(({ name: option, fallback }) => [option, literalOf(fallback ?? 'none')] as const)
      .filter(([, literal]) => literal !== undefined)
    const documented = wanted.map(([option]) => [option, documentedDefault(section, option)])
    expect(documented).toEqual(wanted)
  })
})

test.each(Object.entries(NAMED_ON))('%s: each option is named in %s', (name, page) => {
  const members = interfaces.get(name) ?? []
  expect(members.length).toBeGreaterThan(0)
  const text = sectionOf(page)
  expect(members.map((member) => member.name).filter((one) => !text.includes(`\`${one}`))).toEqual(
    [],
  )
})

describe('what a comment says to be the default is the default', () => {
  const constants = {
    RequireAuthOptions: guardDefaults,
    JwksCacheOptions: guardDefaults.jwksCache,
    IntrospectionOptions: introspectionDefaults,
    IssuerOptions: { accessTokenTtlSeconds: issuerDefaults.accessTokenTtlSeconds },
    SessionOptions: issuerDefaults.session,
    RedisRevocationsOptions: redisDefaults,
    MemoryReplayStoreOptions: memoryReplayDefaults,
    KickOutOptions: { confirmTimeoutMs: defaultConfirmTimeoutMs },
    MemoryRevocationsOptions: { retentionSeconds: redisDefaults.retentionSeconds },
    MemoryStoreOptions: { retentionSeconds: redisDefaults.retentionSeconds },
  }
  test.each(Object.entries(constants))('%s', (name, defaults) => {
    const { page, heading } = TABLES[name]!
    const section = sectionOf(page, heading)
    for (const [option, value] of Object.entries(defaults)) {
      expect([option, documentedDefault(section, option)]).toEqual([option, value])
    }
  })
})

test.each(Object.values(environmentVariables))('the variable %s is named', (name) => {
  expect(sectionOf(options, '## requireAuth')).toContain(`\`${name}\``)
})

/** The exported interfaces of every entry, with their members, inherited ones included. */
function publicInterfaces(): Map<string, Member[]> {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>
  }
  const files = Object.keys(exports)
    .filter((subpath) => subpath !== './package.json')
    .map((subpath) => join(root, 'src', subpath === '.' ? '' : subpath))
    .map((path) => (path.endsWith('augment') ? `${path}.ts` : join(path, 'index.ts')))
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (name) =>
    readFileSync(name, 'utf8'),
  ) as { config: unknown }
  const settings = ts.parseJsonConfigFileContent(config, ts.sys, root).options
  const program = ts.createProgram(files, settings)
  const checker = program.getTypeChecker()
  const found = new Map<string, Member[]>()
  for (const file of files) {
    const source = program.getSourceFile(file)
    const module = source && checker.getSymbolAtLocation(source)
    for (const exported of module ? checker.getExportsOfModule(module) : []) {
      const symbol =
        exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      if (!(symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias))) continue
      const type = checker.getDeclaredTypeOfSymbol(symbol)
      if (!type.isClassOrInterface() && !symbol.name.endsWith('Options')) continue
      found.set(symbol.name, type.getProperties().map(toMember))
    }
  }
  return found

  function toMember(property: ts.Symbol): Member {
    const tag = property
      .getJsDocTags(checker)
      .find(({ name }) => name === 'defaultValue' || name === 'default')
    return { name: property.name, fallback: tag && ts.displayPartsToString(tag.text) }
  }
}
