import { asApiError } from '../api/client'

/** Something that a form or a button asks for: whether it is on its way, and why it was refused. */
export class Attempt {
  #busy = $state(false)
  #problem = $state<string | null>(null)

  get busy(): boolean {
    return this.#busy
  }

  /** A sentence for a person, until the next try. */
  get problem(): string | null {
    return this.#problem
  }

  /** Never rejects: a failure is what `problem` then says. */
  async make(what: () => Promise<unknown>): Promise<void> {
    this.#busy = true
    this.#problem = null
    try {
      await what()
    } catch (error) {
      this.#problem = asApiError(error).message
    } finally {
      this.#busy = false
    }
  }

  forget(): void {
    this.#problem = null
  }
}
