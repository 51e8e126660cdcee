export { type AdminRouterOptions, adminRouter } from './router.ts'
