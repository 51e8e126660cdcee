export function guard() {
  return {
    middleware(_req, _res, next) {
      next()
    },
  }
}
