export {
  type McpErrorClasses,
  type McpErrorClassesV1,
  type McpErrorClassesV2,
  type McpTokenVerifier,
  tokenVerifier,
  type VerifyingGuard,
} from './token-verifier.ts'
