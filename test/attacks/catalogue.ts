/**
 * Every row of the catalogue of hostile input, and where it is tested. A row names the files whose test names carry its id,
 * or says why the package has nothing to test there.
 */
export type Row =
  | { readonly in: readonly string[] }
  /** What the row attacks is not in the package. */
  | { readonly none: string }

const numbered = (prefix: string, last: number): string[] =>
  Array.from({ length: last }, (_, index) => `${prefix}${String(index + 1).padStart(2, '0')}`)

/** All ids of a section to one place, then the exceptions. */
function section(
  prefix: string,
  last: number,
  where: Row,
  exceptions: Readonly<Record<string, Row>> = {},
): [string, Row][] {
  return numbered(prefix, last).map((id) => [id, exceptions[id] ?? where])
}

export const catalogue: ReadonlyMap<string, Row> = new Map([
  ...section('T', 35, { in: ['attacks/tokens.test.ts'] }),
  ...section('B', 13, { in: ['attacks/bearer.test.ts'] }),
  ...section('C', 11, { in: ['attacks/caches.test.ts'] }),
  ...section(
    'RT',
    15,
    { in: ['attacks/refresh.test.ts'] },
    { RT11: { in: ['attacks/cookies.test.ts'] } },
  ),
  ...section('K', 11, { in: ['attacks/cookies.test.ts'] }),
  ...section('V', 12, { in: ['attacks/revocation.test.ts'] }),
  ...section(
    'A',
    12,
    { in: ['attacks/admin.test.ts'] },
    {
      A08: { in: ['attacks/admin.test.ts', 'attacks/identity.test.ts'] },
      A09: { in: ['attacks/admin.test.ts', 'attacks/identity.test.ts'] },
    },
  ),
  ...section(
    'L',
    6,
    { in: ['attacks/leakage.test.ts'] },
    {
      L01: { in: ['attacks/refresh.test.ts'] },
      L03: { in: ['attacks/leakage.test.ts', 'redis/canary.test.ts'] },
      L02: {
        none: 'revoke answers 200 to both on one path; who introspects has proved who it is, and may verify signatures itself',
      },
    },
  ),
  ...section(
    'I',
    10,
    { in: ['attacks/redis-injection.test.ts'] },
    {
      I01: { in: ['attacks/identity.test.ts', 'redis/cluster.test.ts'] },
      I02: { in: ['attacks/identity.test.ts'] },
      I03: { in: ['attacks/identity.test.ts'] },
      I08: { in: ['attacks/identity.test.ts'] },
      I10: { in: ['redis/acl.test.ts'] },
    },
  ),
  ...section(
    'G',
    7,
    { in: ['attacks/time.test.ts'] },
    { G06: { in: ['issuer/sessions/memory-session-store.test.ts'] } },
  ),
  ...section(
    'E',
    10,
    { in: ['guard/introspection/endpoint.test.ts'] },
    {
      E03: {
        in: ['guard/introspection/endpoint.test.ts', 'guard/introspection/oidc-provider.test.ts'],
      },
      E05: { in: ['guard/introspection/answer.test.ts'] },
      E06: { in: ['guard/introspection/answer.test.ts'] },
      E07: {
        in: ['guard/introspection/answer.test.ts', 'guard/introspection/oidc-provider.test.ts'],
      },
      E08: {
        in: ['guard/introspection/endpoint.test.ts', 'guard/introspection/oidc-provider.test.ts'],
      },
    },
  ),
  ...section('M', 6, { in: ['flows/machines.test.ts'] }),
  ...section(
    'O',
    12,
    { in: ['signals/back-channel-logout.test.ts'] },
    {
      O07: {
        in: ['signals/back-channel-logout.test.ts', 'signals/universal-logout.test.ts'],
      },
      O08: {
        in: ['signals/back-channel-logout.test.ts', 'signals/universal-logout.test.ts'],
      },
      O09: { in: ['signals/universal-logout.test.ts'] },
      O10: { in: ['signals/universal-logout.test.ts'] },
      O11: { in: ['signals/universal-logout.test.ts'] },
      O12: { in: ['signals/universal-logout.test.ts'] },
    },
  ),
])
