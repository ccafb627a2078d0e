import { parseHash, type Route } from '../log/route'

/** The address after `#`, as state. Owned here; views read it and call `go` or `replace`. */
class Router {
  #route = $state.raw<Route>(parseHash(location.hash))

  constructor() {
    addEventListener('hashchange', () => (this.#route = parseHash(location.hash)))
  }

  get route(): Route {
    return this.#route
  }

  /** A new address: back returns to where one was. */
  go(href: string): void {
    if (href !== location.hash) location.hash = href
  }

  /** The same place said more exactly (a selected row, say): no entry in the history. */
  replace(href: string): void {
    if (href === location.hash) return
    history.replaceState(history.state, '', href)
    this.#route = parseHash(href)
  }
}

export const router = new Router()
