import { Redis } from 'ioredis'

const consumable = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode'])
const grantable = new Set([...consumable, 'AccessToken'])
const keyOfGrant = (grantId) => `oidc:grant:${grantId}`

/** An adapter with the layout of the one in oidc-provider's examples: a key per artefact, a list of them per grant. */
export function redisAdapterOn(port) {
  const redis = new Redis(port)

  return class RedisAdapter {
    constructor(name) {
      this.name = name
    }

    keyOf(id) {
      return `oidc:${this.name}:${id}`
    }

    async upsert(id, payload, expiresIn) {
      const key = this.keyOf(id)
      const text = JSON.stringify(payload)
      const writes = redis.multi()
      if (consumable.has(this.name)) writes.hset(key, 'payload', text)
      else writes.set(key, text)
      if (expiresIn) writes.expire(key, expiresIn)
      if (grantable.has(this.name) && payload.grantId) {
        const grantKey = keyOfGrant(payload.grantId)
        writes.rpush(grantKey, key)
        if (expiresIn > (await redis.ttl(grantKey))) writes.expire(grantKey, expiresIn)
      }
      await writes.exec()
    }

    async find(id) {
      if (!consumable.has(this.name)) {
        const text = await redis.get(this.keyOf(id))
        return text === null ? undefined : JSON.parse(text)
      }
      const { payload, ...rest } = await redis.hgetall(this.keyOf(id))
      return payload === undefined ? undefined : { ...rest, ...JSON.parse(payload) }
    }

    async consume(id) {
      await redis.hset(this.keyOf(id), 'consumed', Math.floor(Date.now() / 1000))
    }

    async destroy(id) {
      await redis.del(this.keyOf(id))
    }

    async revokeByGrantId(grantId) {
      const keys = await redis.lrange(keyOfGrant(grantId), 0, -1)
      await redis.del(...keys, keyOfGrant(grantId))
    }
  }
}
