import { onAnswer } from '../api/client'
import { skewOf } from '../log/skew'

const TICK_MS = 1_000
/** Hidden pages tick once a minute: a longer silence is a machine that slept. */
const ASLEEP_MS = 150_000

/**
 * The time as the service tells it, once a second: for durations that run and moments to come. All of its times are
 * its own, and the clock of this machine may be wrong.
 */
class Ticker {
  #skew = $state(0)
  #here = $state(Date.now())
  private readonly woken = new Set<() => void>()

  constructor() {
    setInterval(() => this.tick(), TICK_MS)
    onAnswer((date, asked, came) => {
      const skew = skewOf(date, asked, came)
      // A second more or less is the rounding of the date: durations must not jump for it.
      if (skew !== null && Math.abs(skew - this.#skew) > 2 * TICK_MS) this.#skew = skew
    })
  }

  get now(): number {
    return this.#here + this.#skew
  }

  /** The time on this machine: for what waits here. */
  get here(): number {
    return this.#here
  }

  /** Calls when the machine has slept: what looks connected may be so no more. The answer takes the call back. */
  onWake(listener: () => void): () => void {
    this.woken.add(listener)
    return () => this.woken.delete(listener)
  }

  private tick(): void {
    const slept = Date.now() - this.#here > ASLEEP_MS
    this.#here = Date.now()
    if (slept) for (const listener of this.woken) listener()
  }
}

export const ticker = new Ticker()
