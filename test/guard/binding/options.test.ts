import { describe, expect, test } from '@jest/globals'
import { memoryReplayStore, requireAuth } from '../../../src/index.ts'
import { readBindings } from '../../../src/guard/binding/options.ts'
import { makeSigner } from '../../support/make-token.ts'

const publicUrl = 'https://api.example.com'
const jwks = { keys: [makeSigner('ES256').publicJwk] }
const make = (options: object, issuer = 'https://login.example.com') =>
  requireAuth({ issuer, audience: publicUrl, jwks, ...options })

describe('the option "dpop"', () => {
  test.each([
    [true, /dpop: the options must be an object/],
    [{}, /"dpop.publicUrl" is missing/],
    [{ publicUrl: 'api.example.com' }, /"dpop.publicUrl" must be an https: URL/],
    [{ publicUrl: 'http://api.example.com' }, /"dpop.publicUrl" must be an https: URL/],
    [{ publicUrl: `${publicUrl}/?a` }, /"dpop.publicUrl" must be an https: URL/],
    [{ publicUrl: 1 }, /"dpop.publicUrl" must be a non-empty string/],
    [{ publicUrl, required: 'yes' }, /"dpop.required" must be true or false/],
    [{ publicUrl, algorithms: ['HS256'] }, /"dpop.algorithms" must hold asymmetric/],
    [{ publicUrl, algorithms: ['none'] }, /"dpop.algorithms" must hold asymmetric/],
    [{ publicUrl, algorithms: [] }, /"dpop.algorithms" must not be an empty list/],
    [{ publicUrl, maxAgeSeconds: 0 }, /"dpop.maxAgeSeconds" must be a number, 1 to 600/],
    [{ publicUrl, maxAge: 60 }, /unknown option "maxAge", did you mean "maxAgeSeconds"/],
    [{ publicUrl, replay: 'memory' }, /"dpop.replay" must be a replay store/],
    [{ publicUrl, replay: null }, /"dpop.replay" must be a replay store/],
    [{ publicUrl, nonce: true }, /dpop.nonce: the options must be an object/],
    [{ publicUrl, nonce: { secret: 'hunter2' } }, /"dpop.nonce.secret" must be 32 bytes or more/],
  ])('%j is a TypeError that names what is wrong, and no secret', (dpop, message) => {
    const attempt = () => make({ dpop })
    expect(attempt).toThrow(TypeError)
    expect(attempt).toThrow(message)
    expect(attempt).not.toThrow(/hunter2/)
  })

  test('needs no publicUrl where every issuer is on a loopback host', () => {
    expect(() => make({ dpop: {} }, 'http://127.0.0.1:3000')).not.toThrow()
    const issuers = ['http://localhost:1', 'https://login.example.com']
    expect(() => readBindings({ dpop: {} }, issuers)).toThrow(/publicUrl/)
    expect(() => readBindings({ dpop: {} }, [])).toThrow(/publicUrl/)
  })

  test('takes an http: address of any host with dangerouslyAllowHttp', () => {
    const options = { dpop: { publicUrl: 'http://api:8080' }, dangerouslyAllowHttp: true }
    expect(readBindings(options, []).dpop).toMatchObject({ publicUrl: 'http://api:8080' })
  })

  test('completes what is not given', () => {
    expect(
      readBindings({ dpop: { publicUrl: 'HTTPS://API.example.com:443/svc2/' } }, []).dpop,
    ).toMatchObject({
      ...{ isRequired: false, publicUrl: 'https://api.example.com/svc2', maxAgeSeconds: 60 },
      nonceSecret: undefined,
    })
    const replay = memoryReplayStore()
    expect(readBindings({ dpop: { publicUrl, replay } }, []).dpop?.makeReplay({} as never)).toBe(
      replay,
    )
    expect(readBindings({}, [])).toEqual({ dpop: undefined, mtls: undefined })
  })
})

describe('the option "mtls"', () => {
  const header = 'Client-Cert'
  test.each([
    [{}, /"mtls.certificate" must be 'socket' or/],
    [{ certificate: 'header' }, /"mtls.certificate" must be 'socket' or/],
    [{ certificate: {} }, /"mtls.certificate.header" must be the name of a header/],
    [
      { certificate: { header: 'a b', format: 'xfcc' } },
      /"mtls.certificate.header" must be the name/,
    ],
    [{ certificate: { header } }, /"mtls.certificate.format" is missing/],
    [{ certificate: { header, format: 'pem' } }, /"mtls.certificate.format" must be one of/],
    [{ certificate: { header, format: 'xfcc', name: 1 } }, /unknown option "name"/],
    [{ certificate: 'socket', required: 1 }, /"mtls.required" must be true or false/],
  ])('%j is a TypeError that names what is wrong', (mtls, message) => {
    expect(() => make({ mtls })).toThrow(message)
  })

  test('completes what is not given', () => {
    expect(readBindings({ mtls: { certificate: { header, format: 'rfc9440' } } }, []).mtls).toEqual(
      {
        isRequired: false,
        source: { header: 'client-cert', format: 'rfc9440' },
      },
    )
  })
})
