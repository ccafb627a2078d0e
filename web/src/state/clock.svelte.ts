/** The current time, once a second: for durations that run and waits that end. */
class Ticker {
  #now = $state(Date.now())

  constructor() {
    setInterval(() => (this.#now = Date.now()), 1000)
  }

  get now(): number {
    return this.#now
  }
}

export const ticker = new Ticker()
