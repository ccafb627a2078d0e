import { parseHash, type Route } from '../log/route'

/** Browsers refuse or drop changes of the address that come faster than about ten a second: a key held down. */
const SETTLE_MS = 150

/** The address after `#`, as state. Owned here; views read it and call `go` or `replace`. */
class Router {
  #route = $state.raw<Route>(parseHash(location.hash))
  /** The address as it should be; the browser's own follows within a moment. */
  private href = location.hash
  private timer: ReturnType<typeof setTimeout> | undefined
  private settledAt = -Infinity

  constructor() {
    addEventListener('hashchange', () => this.take(location.hash))
    // What is still to be said must be in the address that is kept, copied or come back to.
    addEventListener('pagehide', () => this.settle())
  }

  get route(): Route {
    return this.#route
  }

  /** A new address: back returns to where one was. */
  go(href: string): void {
    if (href === this.href) return
    this.settle()
    this.href = href
    location.hash = href
  }

  /** The same place said more exactly (a selected row, say): no entry in the history. */
  replace(href: string): void {
    if (href === this.href) return
    this.href = href
    this.#route = parseHash(href)
    const wait = this.settledAt + SETTLE_MS - performance.now()
    if (wait <= 0) this.settle()
    else this.timer ??= setTimeout(() => this.settle(), wait)
  }

  /** Somebody went elsewhere: what was still to be said of the place before is no longer true. */
  private take(href: string): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.href = href
    this.#route = parseHash(href)
  }

  private settle(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    if (location.hash === this.href) return
    this.settledAt = performance.now()
    history.replaceState(history.state, '', this.href)
  }
}

export const router = new Router()
