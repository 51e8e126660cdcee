export { type GuardedConnection, getConnection } from './connection.ts'
export { type GraphqlWsAuth, graphqlWsAuth, type GraphqlWsContextLike } from './graphql-ws.ts'
export type { ConnectionGuard } from './guard-of-connections.ts'
export type {
  AcceptUpgradesOptions,
  CloseCodes,
  ConnectionOptions,
  SubprotocolOptions,
} from './options.ts'
export { socketIoAuth, type SocketIoSocketLike } from './socket-io.ts'
export type { HttpServerLike } from './upgrade-routes.ts'
export { acceptUpgrades, type WebSocketServerLike } from './upgrades.ts'
export type { WebSocketLike } from './ws-peer.ts'
