import { isAbort } from '../api/client'
import { getHistogram, getLogs, getLogStats } from '../api/routes'
import type { Bucket, LevelTotals, LogStats } from '../api/types'
import { EVERYTHING, filterKey, type LogFilter } from '../log/filter'
import { hiddenOf, LEVELS } from '../log/levels'
import { exactMarks, filteredMarks, levelMarks, type Mark } from '../log/marks'

/** Up to so many errors or matches are marked one by one; above it, by stretches of the histogram. */
const EXACT = 500
const BUCKETS = 120

export interface Matches {
  readonly needle: string
  readonly total: number
  /** The seqs of all of them, ascending, or null when there are too many to hold. */
  readonly seqs: readonly number[] | null
  readonly marks: readonly Mark[]
}

/**
 * What is known about all of a task's entries without holding them: counts for the filter's choices (each facet
 * counted without its own restriction), the volume over time, and where errors and matches lie.
 */
export class Overview {
  #stats = $state.raw<LogStats | null>(null)
  #levels = $state.raw<LevelTotals>({})
  #hidden = $state(0)
  #sources = $state.raw<Record<string, number>>({})
  #stages = $state.raw<Record<string, number>>({})
  #volume = $state.raw<readonly Bucket[]>([])
  #errors = $state.raw<readonly Mark[]>([])
  #matches = $state.raw<Matches | null>(null)

  private all: readonly Bucket[] = []
  /** The last seq when the whole task was counted: another filter does not change that. */
  private allUpTo = -1
  private control = new AbortController()
  private timer: ReturnType<typeof setTimeout> | undefined
  private lastCost = 0

  constructor(private readonly id: string) {}

  /** Counts under the whole filter; null until they are known. */
  get stats(): LogStats | null {
    return this.#stats
  }

  get levels(): LevelTotals {
    return this.#levels
  }

  get sources(): Record<string, number> {
    return this.#sources
  }

  get stages(): Record<string, number> {
    return this.#stages
  }

  get volume(): readonly Bucket[] {
    return this.#volume
  }

  get errors(): readonly Mark[] {
    return this.#errors
  }

  get matches(): Matches | null {
    return this.#matches
  }

  /** Entries the levels alone hide; 0 until known. */
  get hiddenByLevel(): number {
    return this.#hidden
  }

  /** Counts anew for a filter; what is shown stays until the answers come. */
  async load(filter: LogFilter, needle: string, lastSeq: number): Promise<void> {
    this.control.abort()
    clearTimeout(this.timer)
    this.timer = undefined
    const { signal } = (this.control = new AbortController())
    if (this.#matches?.needle !== needle) this.#matches = null
    const began = performance.now()
    try {
      await this.loadFacets(filter, signal)
      await this.loadVolume(filter, lastSeq, signal)
      await this.loadMatches(filter, needle, lastSeq, signal)
      this.lastCost = performance.now() - began
    } catch (error) {
      // The rows are the heart: a count that cannot be had shows nothing instead of an error over them.
      if (!isAbort(error)) this.#stats = null
    }
  }

  /** Counts anew a little later, the rarer the more it costs: for tasks that run. */
  later(count: () => Promise<void>): void {
    const wait = Math.max(1_500, this.lastCost * 8)
    // Counts that cannot be had now are asked for with the next rows.
    this.timer ??= setTimeout(() => void count().catch(() => (this.timer = undefined)), wait)
  }

  close(): void {
    this.control.abort()
    clearTimeout(this.timer)
  }

  private async loadFacets(filter: LogFilter, signal: AbortSignal): Promise<void> {
    const asked = new Map<string, Promise<LogStats>>()
    const stats = (of: LogFilter) => {
      const key = filterKey(of)
      const found = asked.get(key) ?? getLogStats(this.id, of, signal)
      asked.set(key, found)
      return found
    }
    const [own, levels, sources, stages] = await Promise.all([
      stats(filter),
      stats({ ...filter, levels: LEVELS }),
      stats({ ...filter, sources: [], excludeSources: [] }),
      stats({ ...filter, stages: [] }),
    ])
    this.#stats = own
    this.#levels = levels.by_level
    this.#hidden = hiddenOf(levels.by_level, filter.levels)
    this.#sources = sources.by_source
    // "" counts entries without a stage: nothing one could choose.
    this.#stages = Object.fromEntries(Object.entries(stages.by_stage).filter(([name]) => name))
  }

  private async loadVolume(filter: LogFilter, lastSeq: number, signal: AbortSignal): Promise<void> {
    this.#volume = await getHistogram(this.id, filter, BUCKETS, signal)
    if (lastSeq === this.allUpTo) return
    const all = await getHistogram(this.id, EVERYTHING, 2 * BUCKETS, signal)
    this.all = all
    const errors = all.reduce((sum, bucket) => sum + (bucket.counts.ERROR ?? 0), 0)
    if (errors > EXACT) this.#errors = levelMarks(all, 'ERROR')
    else if (!errors) this.#errors = []
    else this.#errors = exactMarks(await this.seqs({ ...EVERYTHING, levels: ['ERROR'] }, signal), lastSeq)
    this.allUpTo = lastSeq
  }

  private async loadMatches(filter: LogFilter, needle: string, lastSeq: number, signal: AbortSignal): Promise<void> {
    if (!needle) {
      this.#matches = null
      return
    }
    const matching = { ...filter, search: needle }
    const { total } = await getLogStats(this.id, matching, signal)
    if (total <= EXACT) {
      const seqs = total ? await this.seqs(matching, signal) : []
      this.#matches = { needle, total, seqs, marks: exactMarks(seqs, lastSeq) }
    } else {
      const some = await getHistogram(this.id, matching, 2 * BUCKETS, signal)
      this.#matches = { needle, total, seqs: null, marks: filteredMarks(this.all, some) }
    }
  }

  private async seqs(filter: LogFilter, signal: AbortSignal): Promise<number[]> {
    const page = await getLogs(this.id, filter, { limit: EXACT }, signal)
    return page.entries.map((entry) => entry.seq)
  }
}
