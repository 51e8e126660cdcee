export { type AdminRouterOptions, type AdminTarget, adminRouter } from './router.ts'
