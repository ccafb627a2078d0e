import { SvelteSet } from 'svelte/reactivity'
import { asApiError, isAbort } from '../api/client'
import { getLogs } from '../api/routes'
import type { Entry } from '../api/types'
import { DEFAULT_FILTER, EVERYTHING, fromAddress, toAddress, type LogFilter } from '../log/filter'
import { plural } from '../log/format'
import { LEVELS } from '../log/levels'
import { asText } from '../log/message'
import { toggleField, withField, withMetadata, type NarrowField } from '../log/narrow'
import { taskHref } from '../log/route'
import { plain } from '../log/text'
import { copyText } from './clipboard'
import type { Commands } from './keys'
import { notes } from './notes.svelte'
import { prefs } from './prefs.svelte'
import { router } from './router.svelte'
import type { RowActions } from './rowactions'
import { TaskLog } from './tasklog.svelte'

/** So many entries go into the clipboard at once; a download takes any number. */
const COPY_LIMIT = 100_000

/** What one does on a task's page. The address is the truth: what changes the view changes it, and the log follows. */
export class TaskPage {
  readonly log: TaskLog
  /** Ids of the entries whose details are open. */
  readonly opened = new SvelteSet<number>()

  #range = $state.raw<{ from: number; to: number } | null>(null)
  #visible = $state.raw<{ first: Entry; last: Entry } | null>(null)
  #marks = $state(false)
  /** One is at the chosen entry, and has not scrolled away from it since. */
  private anchored = true

  readonly actions: RowActions = {
    filterBy: (field, value) => this.setFilter(withField(this.log.filter, field, value)),
    filterByValue: (path, value) => this.setFilter(withMetadata(this.log.filter, path, value)),
    around: (entry) => this.around(entry.seq),
    copy: (text, what) => void this.copy(text, what),
  }

  constructor(readonly id: string) {
    this.log = new TaskLog(id)
  }

  get range(): { from: number; to: number } | null {
    return this.#range
  }

  get visible(): { first: Entry; last: Entry } | null {
    return this.#visible
  }

  /** Whether a search marks its matches among all rows, instead of showing only them. */
  get marking(): boolean {
    if (this.log.find) return true
    return this.log.filter.search ? false : this.#marks
  }

  /** Which match one is at, from 1; null when at none, or when there are too many to number. */
  get matchNumber(): number | null {
    const at = this.log.selected === null ? -1 : (this.log.overview.matches?.seqs?.indexOf(this.log.selected) ?? -1)
    return at < 0 ? null : at + 1
  }

  commands(focusSearch: () => void, showKeys: () => void): Commands {
    return {
      '/': focusSearch,
      '?': showKeys,
      n: () => void this.go('match', 1),
      N: () => void this.go('match', -1),
      e: () => void this.go('error', 1),
      E: () => void this.go('error', -1),
      g: () => void this.toStart(),
      G: () => void this.toEnd(),
      j: () => this.move(1),
      k: () => this.move(-1),
      Enter: () => this.toggleDetails(),
      f: () => this.toggleFollow(),
      w: () => prefs.toggleWrap(),
      t: () => prefs.nextTime(),
      x: () => this.log.selected !== null && this.around(this.log.selected),
      c: () => void this.copyRange(),
      Escape: () => this.escape(),
    }
  }

  /** Takes up what the address says. */
  apply(query: URLSearchParams): void {
    const seq = Number(query.get('seq'))
    if (seq > 0 && seq !== this.log.selected) this.anchored = true
    void this.log.apply({
      filter: fromAddress(query),
      find: query.get('find') ?? '',
      seq: Number.isInteger(seq) && seq > 0 ? seq : null,
    })
  }

  address(filter: LogFilter, find: string, seq: number | null): string {
    const query = toAddress(filter)
    if (find) query.set('find', find)
    if (seq !== null) query.set('seq', String(seq))
    return taskHref(this.id, query)
  }

  permalink(entry: Entry): string {
    return this.address(this.log.filter, this.log.find, entry.seq)
  }

  setFilter(filter: LogFilter): void {
    router.go(this.address(filter, this.log.find, this.log.selected))
  }

  toggle(field: NarrowField, value: string): void {
    this.setFilter(toggleField(this.log.filter, field, value))
  }

  showAllLevels(): void {
    this.setFilter({ ...this.log.filter, levels: LEVELS })
  }

  zoom(since: string, until: string): void {
    router.go(this.address({ ...this.log.filter, since, until }, this.log.find, null))
  }

  reset(): void {
    router.go(this.address(DEFAULT_FILTER, '', this.log.selected))
  }

  setSearch(text: string, marking: boolean): void {
    this.#marks = marking
    const filter = { ...this.log.filter, search: marking ? '' : text }
    router.go(this.address(filter, marking ? text : '', this.log.selected))
  }

  see(first: Entry, last: Entry): void {
    if (this.#visible?.first !== first || this.#visible.last !== last) this.#visible = { first, last }
  }

  lookElsewhere(): void {
    this.anchored = false
  }

  scrub(fraction: number): void {
    this.anchored = false
    void this.log.scrub(fraction)
  }

  select(seq: number | null): void {
    this.anchored = seq !== null
    this.log.select(seq)
    this.#range = null
    router.replace(this.address(this.log.filter, this.log.find, seq))
  }

  /** A click on a row: chooses it, or with `extend` everything from the chosen one to it. */
  choose(entry: Entry, extend: boolean): void {
    const { selected } = this.log
    if (extend && selected !== null) {
      this.#range = { from: Math.min(selected, entry.seq), to: Math.max(selected, entry.seq) }
    } else this.select(selected === entry.seq && !this.#range ? null : entry.seq)
  }

  /** The next or previous error or match, wherever in the task it is. */
  async go(kind: 'error' | 'match', direction: 1 | -1): Promise<void> {
    if (kind === 'match' && !this.log.needle) return
    const edge = direction === 1 ? (this.#visible?.first.seq ?? 1) - 1 : (this.#visible?.last.seq ?? 0) + 1
    try {
      const seq = await this.log.step(kind, direction, this.anchored ? (this.log.selected ?? edge) : edge)
      if (seq !== null) this.select(seq)
      else notes.say(`No ${direction === 1 ? 'later' : 'earlier'} ${kind}.`)
    } catch (error) {
      if (!isAbort(error)) notes.say(asApiError(error).message)
    }
  }

  toggleFollow(): void {
    if (this.log.rows.following) this.log.rows.freeze()
    else void this.toEnd()
  }

  async toEnd(): Promise<void> {
    this.select(null)
    await this.log.toEnd()
  }

  async toStart(): Promise<void> {
    await this.log.toStart()
    if (this.log.selected !== null) this.select(this.log.selected)
  }

  /** The chosen range, or the chosen entry, as text. By seq through the service, whatever the page holds of it. */
  async copyRange(): Promise<void> {
    const { selected } = this.log
    const range = this.#range ?? (selected === null ? null : { from: selected, to: selected })
    if (!range) return
    try {
      const { lines, whole } = await this.linesOf(range)
      const what = plural(lines.length, 'entry', 'entries')
      await this.copy(`${lines.join('\n')}\n`, whole ? what : `the first ${what}; a download has all of them`)
    } catch (error) {
      notes.say(asApiError(error).message)
    }
  }

  private async linesOf(range: { from: number; to: number }): Promise<{ lines: string[]; whole: boolean }> {
    const lines: string[] = []
    let after: number | null = range.from - 1
    while (after !== null && after < range.to) {
      if (lines.length >= COPY_LIMIT) return { lines, whole: false }
      const page = await getLogs(this.id, this.log.filter, { after, limit: 1000 })
      for (const entry of page.entries) if (entry.seq <= range.to) lines.push(asText(entry, plain(entry.message)))
      after = page.next_after
    }
    return { lines, whole: true }
  }

  private async copy(text: string, what: string): Promise<void> {
    notes.say((await copyText(text)) ? `Copied: ${what}.` : 'The browser did not allow copying.')
  }

  private move(direction: 1 | -1): void {
    const { rows } = this.log.rows.window
    const now = this.anchored ? rows.findIndex((entry) => entry.seq === this.log.selected) : -1
    const next = now >= 0 ? rows[now + direction] : rows.find((entry) => entry.seq >= (this.#visible?.first.seq ?? 0))
    if (!next) return
    this.select(next.seq)
    void this.log.goTo(next.seq)
  }

  private around(seq: number): void {
    router.go(this.address(EVERYTHING, this.log.needle, seq))
  }

  private toggleDetails(): void {
    const entry = this.log.rows.window.rows.find((each) => each.seq === this.log.selected)
    if (entry && !this.opened.delete(entry.id)) this.opened.add(entry.id)
  }

  private escape(): void {
    if (this.#range) this.#range = null
    else if (this.log.selected !== null) this.select(null)
    else if (this.log.needle) this.setSearch('', this.marking)
  }
}
