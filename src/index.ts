export type { AccessTokenClaims, Auth, JWTHeaderParameters } from './auth.ts'
export {
  AuthError,
  type AuthErrorCode,
  type AuthErrorReason,
  isAuthError,
  isUnavailableError,
  UnavailableError,
  type UnavailableReason,
} from './errors.ts'
export type { GuardEvent, RevocationsEvent, RevocationsState } from './events.ts'
export { type AuthContextOptions, requireAuthContext } from './guard/auth-context.ts'
export type { CertificateFormat } from './guard/binding/certificate.ts'
export type { DpopOptions, MtlsOptions } from './guard/binding/options.ts'
export type { IntrospectionAuth, IntrospectionOptions } from './guard/introspection/options.ts'
export type { JwksCacheOptions } from './guard/keys/key-set.ts'
export {
  type AuthenticatedRequest,
  type AuthHandler,
  authErrorHandler,
  cutOnKickOut,
  requireAuth,
} from './guard/middleware.ts'
export {
  protectedResourceMetadata,
  type ProtectedResourceHandler,
  type ProtectedResourceOptions,
} from './guard/protected-resource.ts'
export { getAuth } from './guard/request-auth.ts'
export type { Counts, GuardStats } from './guard/stats.ts'
export type {
  ClaimNames,
  IssuerResolver,
  JwksDocument,
  RequireAuthOptions,
  TrustedIssuer,
} from './guard/require-auth-options.ts'
export {
  type ClaimExpectation,
  requireAnyScope,
  requireClaim,
  requireScope,
} from './guard/route-guards.ts'
export type { RouteHandler } from './guard/route-handler.ts'
export { memoryReplayStore, type MemoryReplayStoreOptions } from './replay/memory-replay-store.ts'
export type { ReplayStore } from './replay/replay-store.ts'
export {
  memoryRevocations,
  type MemoryRevocationsOptions,
} from './revocation/memory-revocations.ts'
export type { Revocation, RevocationLevel, RevocationVerdict } from './revocation/revocation.ts'
export type {
  AuditedRevocations,
  KickOutOptions,
  KickOutRecord,
  KickOutResult,
  ServerStatus,
  Revocations,
  RevocationsStatus,
} from './revocation/revocations.ts'
export type { KickOutTarget, TokenTarget } from './revocation/target.ts'
