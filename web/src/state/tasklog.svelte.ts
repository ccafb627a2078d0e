import { asApiError, isAbort, type ApiError } from '../api/client'
import { getLogs, getTask, taskSocketUrl } from '../api/routes'
import { LiveSocket, type SocketState } from '../api/socket'
import type { Entry, Gap, Task, TaskFrame } from '../api/types'
import { AUDIT_TASK } from '../log/access'
import { DEFAULT_FILTER, filterKey, toMessage, type LogFilter } from '../log/filter'
import { PageCache } from '../log/pages'
import { nextInside } from '../log/seek'
import { matches } from '../log/text'
import type { RowWindow } from '../log/window'
import { ticker } from './clock.svelte'
import { Earlier } from './earlier.svelte'
import { Overview } from './overview.svelte'
import { painted } from './painted'
import { readAround, Rows, type RowPage } from './rows.svelte'
import { mergeGaps, taskSource } from './source'
import { Structure } from './structure.svelte'

/** What an address asks of a task's log. */
export interface Wish {
  readonly filter: LogFilter
  /** Marked, not filtered by. */
  readonly find: string
  /** The row to be at; null for the end, or the first error of a failed task. */
  readonly seq: number | null
}

/** One task on screen: the task itself, its stages and steps, its rows, and the connection that keeps them true. */
export class TaskLog {
  readonly rows = new Rows<Entry>()
  readonly overview: Overview
  readonly structure: Structure
  readonly earlier: Earlier

  #task = $state.raw<Task | null>(null)
  #problem = $state.raw<ApiError | null>(null)
  #gaps = $state.raw<readonly Gap[]>([])
  #connection = $state.raw<SocketState>({ kind: 'closed' })
  #wish = $state.raw<Wish>({ filter: DEFAULT_FILTER, find: '', seq: null })
  #selected = $state<number | null>(null)
  #through = $state(0)

  private readonly cache = new PageCache<RowPage<Entry>>()
  private readonly control = new AbortController()
  private readonly sleeper = ticker.onWake(() => this.socket?.wake())
  private socket: LiveSocket<TaskFrame> | null = null
  /** The filter change the service has not answered yet: until then its entries are of the old filter. */
  private awaited: string | null = null
  private refs = 0
  private opened = false

  constructor(readonly id: string) {
    this.overview = new Overview(id)
    this.structure = new Structure(id, this.control.signal)
    this.earlier = new Earlier(this.control.signal)
  }

  get task(): Task | null {
    return this.#task
  }

  get problem(): ApiError | null {
    return this.#problem
  }

  get gaps(): readonly Gap[] {
    return this.#gaps
  }

  get connection(): SocketState {
    return this.#connection
  }

  get filter(): LogFilter {
    return this.#wish.filter
  }

  get find(): string {
    return this.#wish.find
  }

  /** What is marked in the rows. */
  get needle(): string {
    return this.#wish.find || this.#wish.filter.search
  }

  get selected(): number | null {
    return this.#selected
  }

  get lastSeq(): number {
    return Math.max(this.#task?.last_seq ?? 0, this.#through)
  }

  /** How many entries the live connection still has to bring. */
  get behind(): number {
    return this.#connection.kind === 'live' && this.running
      ? Math.max(0, (this.#task?.last_seq ?? 0) - this.#through)
      : 0
  }

  get running(): boolean {
    return this.#task !== null && !this.#task.finished_at && this.#task.sealed === null && isActive(this.#task)
  }

  /** Loads the task and shows what the address asks for. Called again when the address changes. */
  async apply(wish: Wish): Promise<void> {
    const before = this.#wish
    this.#wish = wish
    if (!this.opened) return this.begin()
    const sameFilter = filterKey(before.filter) === filterKey(wish.filter)
    // The rows first: counting a large task takes the service longer than finding a page.
    if (!sameFilter) await this.changeFilter(wish)
    else if (wish.seq !== null && wish.seq !== this.#selected) void this.goTo(wish.seq)
    if (this.#wish !== wish) return
    if (!sameFilter || before.find !== wish.find) {
      await this.overview.load(wish.filter, this.needle, this.lastSeq)
    }
  }

  /** After a failure: everything anew. */
  async retry(): Promise<void> {
    this.opened = false
    this.socket?.close()
    this.socket = null
    await this.begin()
  }

  reconnect(): void {
    this.socket?.retryNow()
  }

  select(seq: number | null): void {
    this.#selected = seq
  }

  async goTo(seq: number): Promise<void> {
    this.#selected = seq
    await this.rows.reveal(seq)
  }

  async toStart(): Promise<void> {
    await this.rows.open(this.source(), 'start')
    this.#selected = this.rows.window.rows[0]?.seq ?? null
  }

  async toEnd(): Promise<void> {
    this.#selected = null
    await this.rows.follow()
  }

  /** Anywhere in the task, by a fraction of its length. */
  async scrub(fraction: number): Promise<void> {
    const seq = Math.max(1, Math.round(fraction * this.lastSeq))
    await this.rows.open(this.source(), fraction >= 0.999 ? 'end' : { key: seq }, fraction >= 0.999 && this.running)
  }

  /** The next or previous error or match after `from`, also where nothing is loaded; null when there is none. */
  async step(kind: 'error' | 'match', direction: 1 | -1, from: number): Promise<number | null> {
    const wanted: LogFilter =
      kind === 'error' ? { ...this.filter, levels: ['ERROR'] } : { ...this.filter, search: this.needle }
    if (kind === 'match' && !this.needle) return null
    const fits = (entry: Entry) =>
      kind === 'error' ? entry.level === 'ERROR' : matches(entry.message, this.needle).length > 0
    const near = nextInside(this.rows.window, from, direction, fits)
    const seq = near ?? (await this.ask(wanted, direction, from))
    if (seq !== null) await this.goTo(seq)
    return seq
  }

  close(): void {
    this.control.abort()
    this.sleeper()
    this.socket?.close()
    this.rows.close()
    this.overview.close()
  }

  replaceTask(task: Task): void {
    this.#task = task
  }

  /** The task and its rows are asked for at once; what is counted of them waits until they are on screen. */
  private async begin(): Promise<void> {
    this.opened = true
    const { signal } = this.control
    const wish = this.#wish
    const { seq } = wish
    const early = readAround(this.source(), seq === null ? 'end' : { key: seq }, signal)
    // A failure shows where the rows are awaited.
    early.catch(() => undefined)
    try {
      this.#task = await getTask(this.id, signal)
      this.#problem = null
      this.#through = this.#task.last_seq
      if (this.running) this.connect()
      await this.openFirst(this.#task, wish, early)
      await painted()
      await this.countAll()
    } catch (error) {
      if (!isAbort(error)) this.#problem = asApiError(error)
    }
  }

  private async openFirst(task: Task, wish: Wish, early: Promise<RowWindow<Entry>>): Promise<void> {
    const broke = task.status === 'failed' || task.status === 'interrupted'
    const error = wish.seq === null && broke ? await this.ask({ ...wish.filter, levels: ['ERROR'] }, 1, 0) : null
    // Another filter was asked for meanwhile: its rows are on their way.
    if (filterKey(this.filter) !== filterKey(wish.filter)) return
    const seq = this.#wish.seq ?? error
    this.#selected = seq
    const read = error === null && seq === wish.seq ? untilEnd(early, task.last_seq) : undefined
    const place = seq === null ? 'end' : { key: seq }
    await this.rows.open(this.source(), place, seq === null && this.running, read)
  }

  private async countAll(): Promise<void> {
    const others = this.#task && this.id !== AUDIT_TASK ? this.earlier.load(this.#task) : null
    await Promise.all([this.overview.load(this.filter, this.needle, this.lastSeq), this.structure.load(), others])
  }

  private source() {
    return taskSource(this.id, this.filter, this.cache, (page) => (this.#gaps = mergeGaps(this.#gaps, page.gaps ?? [])))
  }

  private async changeFilter(wish: Wish): Promise<void> {
    const atEnd = this.rows.following || (wish.seq === null && this.#selected === null)
    this.#selected = wish.seq
    if (this.socket && this.running) {
      this.awaited = `f${(this.refs += 1)}`
      const message = { type: 'filter', ref: this.awaited, filter: toMessage(wish.filter), after: this.#through }
      if (!this.socket.send(message)) {
        this.awaited = null
        if (this.#connection.kind === 'connecting') this.socket.restart()
      }
    }
    const place = atEnd || wish.seq === null ? 'end' : { key: wish.seq }
    await this.rows.open(this.source(), place, place === 'end' && this.running)
  }

  private connect(): void {
    this.socket = new LiveSocket<TaskFrame>({
      url: () => {
        this.awaited = null
        return taskSocketUrl(document.baseURI, this.id, this.filter, this.#through)
      },
      frame: (frame) => this.receive(frame),
      state: (state) => this.changed(state),
    })
    this.socket.connect()
  }

  private changed(state: SocketState): void {
    this.#connection = state
    if (state.kind === 'refused') void this.refresh()
  }

  private receive(frame: TaskFrame): void {
    switch (frame.type) {
      case 'entries':
        if (this.awaited) return
        this.#through = Math.max(this.#through, frame.through)
        this.rows.arrive(frame.entries)
        this.countSoon()
        return
      case 'task':
        if (frame.task.status !== this.#task?.status) void this.structure.loadChildren()
        this.#task = frame.task
        return
      case 'gap':
        this.#gaps = mergeGaps(this.#gaps, [frame])
        return
      case 'stage':
        this.structure.changeStage(frame.stage)
        return
      case 'step':
        this.structure.changeStep(frame.step)
        return
      case 'filter':
        if (frame.ref === this.awaited) this.awaited = null
        return
      case 'error':
        // The service kept the old filter: a new connection by the address says the rest.
        if (frame.ref === this.awaited) this.socket?.restart()
        return
      case 'end':
        void this.refresh()
    }
  }

  /** The task as it is now, when the connection has nothing more to say. */
  private async refresh(): Promise<void> {
    try {
      this.#task = await getTask(this.id, this.control.signal)
      await this.countAll()
    } catch (error) {
      if (!isAbort(error)) this.#problem = asApiError(error)
    }
  }

  /** What arrived changes counts: those of the filter's choices, and the stages' own. */
  private countSoon(): void {
    this.overview.later(async () => {
      const stages = this.structure.stages.length ? this.structure.loadStages() : null
      await Promise.all([this.overview.load(this.filter, this.needle, this.lastSeq), stages, this.count()])
    })
  }

  /** The socket tells of the task when its state changes; its counts go on growing meanwhile. */
  private async count(): Promise<void> {
    const { counts, last_seq } = await getTask(this.id, this.control.signal)
    if (this.#task && this.running) this.#task = { ...this.#task, counts, last_seq }
  }

  private async ask(filter: LogFilter, direction: 1 | -1, from: number): Promise<number | null> {
    const cursor = direction === 1 ? { after: from } : { before: from, order: 'desc' as const }
    const page = await getLogs(this.id, filter, { ...cursor, limit: 1 }, this.control.signal)
    return page.entries[0]?.seq ?? null
  }
}

function isActive(task: Task): boolean {
  return task.status === 'running' || task.status === 'pending'
}

/** What was read while it was not known how far the task goes; null when it takes for the end what is not the end. */
async function untilEnd(early: Promise<RowWindow<Entry>>, last: number): Promise<RowWindow<Entry> | null> {
  const window = await early
  return window.atEnd && (window.rows.at(-1)?.seq ?? 0) < last ? null : window
}
