/** One short sentence at the foot of the page, gone after a few seconds: what was copied, what was not found. */
class Notes {
  #text = $state<string | null>(null)
  private timer: ReturnType<typeof setTimeout> | undefined

  get text(): string | null {
    return this.#text
  }

  say(text: string): void {
    this.#text = text
    clearTimeout(this.timer)
    this.timer = setTimeout(() => (this.#text = null), 3500)
  }
}

export const notes = new Notes()
