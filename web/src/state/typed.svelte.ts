/** Text that is passed on a moment after the last key. What comes back of it later never undoes what was typed since. */
const PAUSE_MS = 220

export class Typed {
  #text = $state('')
  private said = ''
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly tell: (text: string) => void) {}

  get text(): string {
    return this.#text
  }

  /** The text as it is elsewhere now: taken over unless it is only the echo of what was passed on. */
  follow(text: string): void {
    if (text === this.said) return
    this.stop()
    this.said = this.#text = text
  }

  type(text: string): void {
    this.#text = text
    this.stop()
    this.timer = setTimeout(() => this.pass(), PAUSE_MS)
  }

  /** Passes on at once what waits; false when nothing did. */
  flush(): boolean {
    if (this.#text === this.said) return false
    this.pass()
    return true
  }

  /** Nothing is passed on any more: whoever typed has gone elsewhere. */
  stop(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  private pass(): void {
    this.stop()
    this.said = this.#text
    this.tell(this.#text)
  }
}
