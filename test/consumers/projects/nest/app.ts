import 'reflect-metadata'
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  HttpException,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  Req,
  UseGuards,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import type { Request, Response } from 'express'
import { authErrorHandler, getAuth, isAuthError, requireAuth, requireScope } from 'express-kickout'
import { createTestIssuer } from 'express-kickout/testing'

const issuer = createTestIssuer()
const guard = requireAuth(issuer.options)
const admins = requireScope('admin')

/** Our handlers as a guard of Nest: what they refuse goes on to Nest's filters, and from there to our error handler. */
@Injectable()
class AdminsOnly implements CanActivate {
  canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp()
    const [req, res] = [http.getRequest<Request>(), http.getResponse<Response>()]
    return new Promise((resolve, reject) => {
      admins(req, res, (error?: unknown) => (error === undefined ? resolve(true) : reject(error)))
    })
  }
}

@Controller()
class Reports {
  @Get('reports')
  reports(@Req() req: Request): object {
    return { for: getAuth(req).subject }
  }

  @Get('admin')
  @UseGuards(AdminsOnly)
  admin(@Req() req: Request): object {
    return { admin: getAuth(req).subject }
  }
}

@Module({ controllers: [Reports], providers: [AdminsOnly] })
class App implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(guard).forRoutes(Reports)
  }
}

function check(what: string, actual: unknown, expected: unknown): void {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== e) throw new Error(`${what}: ${a} instead of ${e}`)
}

async function main(): Promise<void> {
  const app = await NestFactory.create<NestExpressApplication>(App, { logger: false })
  // Nest 11 answers errors that it does not know with 500. Nest 12 makes an HttpException of an error with a status.
  app.useGlobalFilters({
    catch(error: unknown, host) {
      const http = host.switchToHttp()
      const res = http.getResponse<Response>()
      if (error instanceof HttpException) {
        res.status(error.getStatus()).json({})
      } else if (isAuthError(error)) {
        authErrorHandler()(error, http.getRequest<Request>(), res, () => undefined)
      } else {
        res.status(500).json({ error: String(error) })
      }
    },
  } as Parameters<NestExpressApplication['useGlobalFilters']>[0])
  await app.listen(0, '127.0.0.1')
  const url = await app.getUrl()
  const ask = async (path: string, token?: string): Promise<unknown[]> => {
    const headers: Record<string, string> =
      token === undefined ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(url + path, { headers })
    return [response.status, response.headers.get('www-authenticate'), await response.json()]
  }

  const token = await issuer.token({ subject: 'u1' })
  check('no token', (await ask('/reports')).slice(0, 2), [401, 'Bearer realm="api"'])
  check('a token', await ask('/reports', token), [200, null, { for: 'u1' }])
  const [status, challenge] = await ask('/admin', token)
  const needed = 'Bearer realm="api", error="insufficient_scope", scope="admin"'
  check('no scope', [status, String(challenge).startsWith(needed)], [403, true])
  const admin = await issuer.token({ subject: 'a1', scope: 'admin' })
  check('an admin', await ask('/admin', admin), [200, null, { admin: 'a1' }])
  await issuer.kickOut({ subject: 'u1' })
  check('kicked out', (await ask('/reports', token))[0], 401)
  issuer.unavailable(true)
  check('unavailable', (await ask('/reports', admin))[0], 503)
  await app.close()
  console.log('kicked out')
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
