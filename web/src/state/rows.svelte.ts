import { tick } from 'svelte'
import { asApiError, isAbort, type ApiError } from '../api/client'
import {
  append,
  indexAtOrAfter,
  NO_ROWS,
  prepend,
  trimEnd,
  trimStart,
  WINDOW_BOUNDS,
  type RowKind,
  type RowWindow,
} from '../log/window'

export type From = { after: number } | { before: number } | 'start' | 'end'

export interface RowPage<T> {
  /** In the order they are shown. */
  readonly rows: readonly T[]
  /** There is more in the direction asked for. */
  readonly more: boolean
  /** What comes behind the last row is not stored yet. */
  readonly partial?: boolean
}

/** Where rows come from: pages by key in both directions. */
export interface RowSource<T> extends RowKind<T> {
  page(from: From, signal: AbortSignal): Promise<RowPage<T>>
}

export type Place = 'start' | 'end' | { key: number }

/** What the list is asked to bring into view; a new object each time, so asking twice scrolls twice. */
export interface ScrollRequest {
  readonly index: number
  readonly align: 'start' | 'center' | 'end' | 'nearest'
}

/** Rows arriving faster than this are shown together. */
const FLUSH_MS = 80
/** How soon rows that were not stored yet are asked for again. */
const AGAIN_MS = 250
/** How soon more rows are asked for again after a failure. */
const RETRY_MS = 2_000
/** Following trims only when this much has come in, not at every flush. */
const SLACK = 1_000

/** The rows on screen and around it: a bounded window that grows by pages, jumps, and follows what arrives. */
export class Rows<T> {
  #window = $state.raw<RowWindow<T>>(NO_ROWS)
  #shift = $state(false)
  #loading = $state(true)
  #error = $state.raw<ApiError | null>(null)
  #stuck = $state(false)
  #following = $state(false)
  #fresh = $state(0)
  #scroll = $state.raw<ScrollRequest | null>(null)

  private source: RowSource<T> | null = null
  private control = new AbortController()
  private opening: Place | null = null
  private growing: 'start' | 'end' | null = null
  /** Between a failure and the next try. */
  private paused = false
  private arrived: T[] = []
  private overflowed = false
  private newest = -Infinity
  private flushTimer: ReturnType<typeof setTimeout> | undefined
  private flushedAt = 0
  private againTimer: ReturnType<typeof setTimeout> | undefined

  get window(): RowWindow<T> {
    return this.#window
  }

  /** Whether the last change was at the start: the list then keeps its distance from the end. */
  get shift(): boolean {
    return this.#shift
  }

  get loading(): boolean {
    return this.#loading
  }

  get error(): ApiError | null {
    return this.#error
  }

  /** More rows were wanted and could not be had; they are asked for again by themselves. */
  get stuck(): boolean {
    return this.#stuck
  }

  get following(): boolean {
    return this.#following
  }

  /** How many rows have arrived that are not in the window. */
  get fresh(): number {
    return this.#fresh
  }

  get scroll(): ScrollRequest | null {
    return this.#scroll
  }

  /**
   * Replaces the window by the rows around a place; what is shown stays until they are there. `early` are those rows
   * where they were already asked for, or null when they have to be asked for after all.
   */
  async open(source: RowSource<T>, place: Place, follow = false, early?: Promise<RowWindow<T> | null>): Promise<void> {
    this.control.abort()
    const control = (this.control = new AbortController())
    this.source = source
    this.opening = place
    this.growing = null
    this.#following = follow
    this.#loading = true
    this.#stuck = this.paused = false
    this.#fresh = 0
    this.arrived = []
    this.overflowed = false
    this.newest = -Infinity
    clearTimeout(this.flushTimer)
    clearTimeout(this.againTimer)
    try {
      const window = (await early) ?? (await readAround(source, place, control.signal))
      if (control.signal.aborted) return
      this.#error = null
      await this.show(window, place, control.signal)
      if (place === 'end' && !this.#window.atEnd) this.openAgain(source)
    } catch (error) {
      if (control.signal.aborted || isAbort(error)) return
      this.opening = null
      this.#error = asApiError(error)
    } finally {
      if (this.control === control) this.#loading = false
    }
  }

  /** Brings a row into view, loading around it when the window does not hold it. */
  async reveal(key: number): Promise<void> {
    if (!this.source) return
    this.#following = false
    const index = indexAtOrAfter(this.#window, key, this.source)
    const row = this.#window.rows[index]
    if (row && this.source.key(row) === key) this.#scroll = { index, align: 'nearest' }
    else await this.open(this.source, { key })
  }

  /** Goes to the end and stays there. */
  async follow(): Promise<void> {
    if (!this.source) return
    if (this.#window.atEnd) {
      this.#following = true
      this.#fresh = 0
      this.scrollToEnd()
    } else await this.open(this.source, 'end', true)
  }

  freeze(): void {
    if (!this.#following) return
    this.flush()
    this.#following = false
  }

  /** Loads the next page at one end; a no-op while one is on its way or there is none. */
  async grow(side: 'start' | 'end'): Promise<void> {
    const { source, control } = this
    const edge = side === 'start' ? this.#window.rows[0] : this.#window.rows.at(-1)
    const known = side === 'start' ? this.#window.atStart : this.#window.atEnd
    if (!source || !edge || known || this.growing || this.opening || this.paused) return
    this.growing = side
    try {
      const key = source.key(edge)
      const page = await source.page(side === 'start' ? { before: key } : { after: key }, control.signal)
      if (control.signal.aborted) return
      this.#stuck = false
      if (side === 'start') await this.growStart(page, source)
      else await this.growEnd(page, source)
    } catch (error) {
      if (!control.signal.aborted && !isAbort(error)) this.stay(side, asApiError(error))
    } finally {
      if (this.control === control) this.growing = null
    }
  }

  /** What is on screen stays while the service restarts, say; what it refuses for good is an error. */
  private stay(side: 'start' | 'end', error: ApiError): void {
    if (error.status >= 400 && error.status < 500 && error.status !== 429) this.#error = error
    else {
      this.#stuck = true
      clearTimeout(this.againTimer)
      this.paused = true
      this.againTimer = setTimeout(() => {
        this.paused = false
        void this.grow(side)
      }, RETRY_MS)
    }
  }

  /** New rows behind everything known so far. Followed, they are shown; otherwise only counted. */
  arrive(rows: readonly T[]): void {
    const { source } = this
    const last = rows.at(-1)
    if (!last || !source) return
    this.newest = Math.max(this.newest, source.key(last))
    const wanted = this.#following && (this.opening === 'end' || this.#window.atEnd)
    if (!wanted) {
      // A page may have been read after they were logged and before they arrived.
      const held = this.#window.atEnd ? this.lastKey(source) : -Infinity
      const fresh = rows.filter((row) => source.key(row) > held).length
      this.#fresh += fresh
      if (fresh && this.#window.atEnd) this.#window = { ...this.#window, atEnd: false }
      return
    }
    for (const row of rows) this.arrived.push(row)
    if (this.arrived.length > WINDOW_BOUNDS.rows + SLACK) {
      this.arrived = this.arrived.slice(-WINDOW_BOUNDS.rows)
      this.overflowed = true
    }
    if (this.opening) return
    const wait = this.flushedAt + FLUSH_MS - performance.now()
    if (wait <= 0) this.flush()
    else this.flushTimer ??= setTimeout(() => this.flush(), wait)
  }

  /**
   * Looks for rows that came before the first one, where the newest stand first. With `show` they are brought into
   * view; otherwise what is on screen stays where it is, and they are counted. Rejects when the source does.
   */
  async lookBefore(show: boolean): Promise<void> {
    const { source, control } = this
    // After a failure the rows still shown are of another source.
    const first = this.#error ? undefined : this.#window.rows[0]
    if (!source || this.opening || this.growing || (first && !this.#window.atStart)) return
    this.growing = 'start'
    try {
      const page = await source.page(first ? { before: source.key(first) } : 'start', control.signal)
      if (control.signal.aborted || (!page.rows.length && !this.#error)) return
      if (!first || (show && page.more)) return void this.open(source, 'start')
      await this.growStart(page, source)
      if (show) this.#scroll = { index: 0, align: 'start' }
      else this.#fresh += page.rows.length
    } finally {
      if (this.control === control) this.growing = null
    }
  }

  /** The first rows are on screen: there is nothing new above them. */
  seenStart(): void {
    if (this.#window.atStart) this.#fresh = 0
  }

  close(): void {
    this.control.abort()
    clearTimeout(this.flushTimer)
    clearTimeout(this.againTimer)
    this.source = null
  }

  /** The end was not stored yet: whoever follows it, or sees nothing, is shown it as soon as it is. */
  private openAgain(source: RowSource<T>): void {
    this.againTimer = setTimeout(() => {
      if (this.source !== source || this.#window.atEnd) return
      if (this.#following || !this.#window.rows.length) void this.open(source, 'end', this.#following)
    }, AGAIN_MS)
  }

  private flush(): void {
    clearTimeout(this.flushTimer)
    this.flushTimer = undefined
    this.flushedAt = performance.now()
    const { arrived, source } = this
    if (!arrived.length || !source) return
    this.arrived = []
    this.#shift = false
    // Rows were left out of the middle: only what came last is still one run.
    this.#window = this.overflowed
      ? { rows: arrived, atStart: false, atEnd: true }
      : append(this.#window, arrived, source, true)
    this.overflowed = false
    this.scrollToEnd()
    if (this.#window.rows.length > WINDOW_BOUNDS.rows + SLACK) {
      this.#window = trimStart(this.#window, source)
      this.scrollToEnd()
    }
  }

  private async show(window: RowWindow<T>, place: Place, signal: AbortSignal): Promise<void> {
    const { source } = this
    if (!source) return
    this.#shift = false
    const last = window.rows.at(-1)
    const missed = window.atEnd && !this.#following && last && this.newest > source.key(last)
    this.#window = missed ? { ...window, atEnd: false } : window
    await tick()
    if (signal.aborted) return
    // Not before the list is where it has to be: until then it would fetch what lies around where it was.
    this.opening = null
    if (place === 'end') this.scrollToEnd()
    else if (place === 'start') this.#scroll = { index: 0, align: 'start' }
    else this.#scroll = { index: indexAtOrAfter(window, place.key, source), align: 'center' }
    if (!window.atEnd) {
      // What arrived meanwhile does not follow the last row.
      this.#fresh += this.arrived.length
      this.arrived = []
      this.overflowed = false
    }
    this.flush()
  }

  private async growStart(page: RowPage<T>, source: RowSource<T>): Promise<void> {
    this.#shift = true
    this.#window = prepend(this.#window, page.rows, source, !page.more)
    await tick()
    this.#shift = false
    this.#window = trimEnd(this.#window, source)
  }

  private async growEnd(page: RowPage<T>, source: RowSource<T>): Promise<void> {
    this.#shift = false
    const last = page.rows.at(-1)
    const reached = !page.more && this.newest <= (last ? source.key(last) : this.lastKey(source))
    this.#window = append(this.#window, page.rows, source, reached)
    if (reached) this.#fresh = 0
    if (page.partial && !page.rows.length) this.againTimer = setTimeout(() => void this.grow('end'), AGAIN_MS)
    await tick()
    this.#shift = true
    this.#window = trimStart(this.#window, source)
    await tick()
    this.#shift = false
  }

  private lastKey(source: RowSource<T>): number {
    const last = this.#window.rows.at(-1)
    return last ? source.key(last) : -Infinity
  }

  private scrollToEnd(): void {
    this.#scroll = { index: this.#window.rows.length - 1, align: 'end' }
  }
}

/** The rows around a place, as many as one page, or a page before and one after. */
export async function readAround<T>(source: RowSource<T>, place: Place, signal: AbortSignal): Promise<RowWindow<T>> {
  if (place === 'end') {
    const page = await source.page('end', signal)
    return { rows: page.rows, atStart: !page.more, atEnd: !page.partial }
  }
  if (place === 'start') {
    const page = await source.page('start', signal)
    return { rows: page.rows, atStart: true, atEnd: !page.more }
  }
  const [before, after] = await Promise.all([
    source.page({ before: place.key }, signal),
    source.page({ after: place.key - 1 }, signal),
  ])
  return { rows: before.rows.concat(after.rows), atStart: !before.more, atEnd: !after.more }
}
