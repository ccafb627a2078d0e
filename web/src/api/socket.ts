import { backoffDelay } from './backoff'
import { unauthorized } from './client'

/** What a live connection can honestly say of itself. */
export type SocketState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'waiting'; retryAt: number; attempt: number }
  /** The task has finished and everything was sent. */
  | { kind: 'ended' }
  /** Not worth another try: gone (4404), a bad query (4422), no key or too small a one (4401, 4403). */
  | { kind: 'refused'; code: number; reason: string }
  | { kind: 'closed' }

export interface SocketEnvironment {
  open(url: string): WebSocket
  now(): number
  later(run: () => void, ms: number): () => void
  random(): number
}

export const browserSockets: SocketEnvironment = {
  open: (url) => new WebSocket(url),
  now: () => Date.now(),
  later: (run, ms) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}

export interface SocketHandlers<F> {
  /** The address to connect to now: it carries the cursor, so a new connection goes on where the old one ended. */
  url(): string
  frame(frame: F): void
  state(state: SocketState): void
}

/** A WebSocket that comes back: after a lost connection it waits, tries again by the current address and says so. */
export class LiveSocket<F extends { type: string }> {
  private socket: WebSocket | null = null
  private cancelRetry: (() => void) | null = null
  private attempt = 0
  private ended = false
  private done = false

  constructor(
    private readonly handlers: SocketHandlers<F>,
    private readonly environment: SocketEnvironment = browserSockets,
  ) {}

  /** Connects; a no-op while connected or connecting. */
  connect(): void {
    if (this.socket || this.done) return
    this.cancelRetry?.()
    this.cancelRetry = null
    this.handlers.state({ kind: 'connecting' })
    const socket = this.environment.open(this.handlers.url())
    this.socket = socket
    socket.onopen = () => socket === this.socket && this.handlers.state({ kind: 'live' })
    socket.onmessage = (event) => this.receive(socket, event.data)
    socket.onclose = (event) => this.lost(socket, event.code, event.reason)
  }

  /** Sends one frame; false when there is no open connection to send it on. */
  send(frame: object): boolean {
    if (this.socket?.readyState !== 1) return false
    this.socket.send(JSON.stringify(frame))
    return true
  }

  /** Drops the connection and opens one by the current address at once. */
  restart(): void {
    this.drop()
    this.attempt = 0
    this.connect()
  }

  /** Tries at once if it is waiting to: the network came back, or someone asked. */
  retryNow(): void {
    if (this.cancelRetry) this.connect()
  }

  /** The machine has slept: a connection that seems open may be none any more, and nobody would tell. */
  wake(): void {
    if (this.socket || this.cancelRetry) this.restart()
  }

  close(): void {
    this.done = true
    this.drop()
    this.handlers.state({ kind: 'closed' })
  }

  private receive(socket: WebSocket, data: unknown): void {
    if (socket !== this.socket || typeof data !== 'string') return
    // Only a frame proves that the service is there: a proxy also opens sockets, and closes them again.
    this.attempt = 0
    const frame = JSON.parse(data) as F
    if (frame.type === 'end') this.ended = true
    this.handlers.frame(frame)
  }

  private lost(socket: WebSocket, code: number, reason: string): void {
    if (socket !== this.socket) return
    this.socket = null
    if (this.ended) return this.handlers.state({ kind: 'ended' })
    if (code === 4401) unauthorized()
    if (code === 4404 || code === 4422 || code === 4401 || code === 4403) {
      return this.handlers.state({ kind: 'refused', code, reason })
    }
    const delay = backoffDelay(this.attempt, this.environment.random)
    this.attempt += 1
    this.cancelRetry = this.environment.later(() => this.connect(), delay)
    this.handlers.state({ kind: 'waiting', retryAt: this.environment.now() + delay, attempt: this.attempt })
  }

  private drop(): void {
    this.cancelRetry?.()
    this.cancelRetry = null
    const socket = this.socket
    this.socket = null
    if (!socket) return
    socket.onopen = null
    socket.onmessage = null
    socket.onclose = null
    socket.close(1000)
  }
}
