import type { Revocations } from '../revocation/revocations.ts'
export async function redisRevocationsFromUrl(
  _url: string,
  _options: object,
): Promise<Revocations> {
  return Promise.reject(new Error('later'))
}
