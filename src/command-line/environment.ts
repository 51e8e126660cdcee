/** What is read from the environment, and nowhere else. */
export interface Environment {
  readonly redisUrl: string | undefined
  readonly postgresUrl: string | undefined
  readonly issuer: string | undefined
  readonly audience: string | undefined
  readonly jwksUri: string | undefined
  readonly encryptionKeys: string | undefined
}

/** The variables that the command reads. Secrets come by them alone, since arguments can be seen by others. */
export const variables = {
  redisUrl: 'KICKOUT_REDIS_URL',
  postgresUrl: 'KICKOUT_POSTGRES_URL',
  issuer: 'ISSUER_BASE_URL',
  audience: 'AUDIENCE',
  jwksUri: 'JWKS_URI',
  encryptionKeys: 'KICKOUT_ENCRYPTION_KEY',
} as const satisfies Record<keyof Environment, string>

/** An empty variable is an absent one: that is how deployments unset them. */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Environment {
  const read = (name: keyof Environment): string | undefined => {
    const value = environment[variables[name]]
    return value === '' ? undefined : value
  }
  return {
    redisUrl: read('redisUrl'),
    postgresUrl: read('postgresUrl'),
    issuer: read('issuer'),
    audience: read('audience'),
    jwksUri: read('jwksUri'),
    encryptionKeys: read('encryptionKeys'),
  }
}
