import { asApiError, isAbort, type ApiError } from '../api/client'

/** How often a view without a socket of its own asks for what is new, unless it says so itself. */
const EVERY_MS = 2_000

/** Asks again and again while the page is looked at, never twice at once, and knows whether the last answer came. */
export class Newest {
  #problem = $state.raw<ApiError | null>(null)
  private timer: ReturnType<typeof setTimeout> | undefined
  private stopped = false

  constructor(
    private readonly ask: () => Promise<void>,
    private readonly every = EVERY_MS,
  ) {
    this.wait()
  }

  /** Why the last question was not answered; null while all is well. */
  get problem(): ApiError | null {
    return this.#problem
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private wait(): void {
    if (!this.stopped) this.timer = setTimeout(() => void this.again(), this.every)
  }

  private async again(): Promise<void> {
    try {
      if (document.visibilityState === 'visible') await this.ask()
      this.#problem = null
    } catch (error) {
      if (!isAbort(error)) this.#problem = asApiError(error)
    }
    this.wait()
  }
}
