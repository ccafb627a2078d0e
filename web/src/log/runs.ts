import type { Task } from '../api/types'

/** What other runs of the same thing tell about one of them. */
export interface Comparison {
  /** The newest success before it. */
  readonly lastGood: Task | null
  /** How many runs before it, one after the other, failed as it did; 0 where it did not fail itself. */
  readonly failures: number
  /** The first of those failures in a row, perhaps itself; null where it did not fail. */
  readonly failingSince: Task | null
  /** Whether more failures in a row may have been before those. */
  readonly orLonger: boolean
  /** The median of the successes' durations, in seconds. */
  readonly usual: number | null
  /** The parameters that differ from those of `lastGood`, by name. */
  readonly changed: readonly Change[]
}

export interface Change {
  readonly name: string
  /** undefined: it was not given. */
  readonly before: unknown
  readonly now: unknown
}

const FAILED: ReadonlySet<Task['status']> = new Set(['failed', 'interrupted'])

/** The runs before one that were read, newest first. */
export interface Before {
  readonly runs: readonly Task[]
  /** Whether there are older ones. */
  readonly more: boolean
  /** The newest success among those. */
  readonly olderGood: Task | null
}

/** Compares a run with those before it. */
export function compare(task: Task, { runs, more, olderGood }: Before): Comparison {
  const ended = runs.filter((each) => each.finished_at !== null)
  const lastGood = ended.find((each) => each.status === 'success') ?? olderGood
  const failed = FAILED.has(task.status)
  // Whoever cancelled one neither failed nor succeeded with it.
  const told = ended.filter((each) => each.status !== 'cancelled')
  const until = told.findIndex((each) => !FAILED.has(each.status))
  const row = failed ? told.slice(0, until < 0 ? told.length : until) : []
  return {
    lastGood,
    failures: row.length,
    failingSince: failed ? (row.at(-1) ?? task) : null,
    orLonger: failed && more && until < 0,
    usual: median(ended.flatMap((each) => (each.status === 'success' ? (each.duration ?? []) : []))),
    changed: lastGood ? changes(lastGood.params, task.params) : [],
  }
}

/** Runs of the same thing: the plugin's under the same name, for the same account and site. */
export function isSame(task: Task, other: Task): boolean {
  return (['plugin', 'name', 'account', 'site'] as const).every((field) => task[field] === other[field])
}

/** What the list of tasks is asked for, to find them. */
export function sameQuery(task: Task): URLSearchParams {
  const query = new URLSearchParams({ plugin: task.plugin })
  if (task.name !== task.plugin) query.set('text', task.name)
  if (task.account !== null) query.set('account', task.account)
  if (task.site !== null) query.set('site', task.site)
  return query
}

function median(values: readonly number[]): number | null {
  const sorted = values.filter((value) => value >= 0).sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? null
}

function changes(before: unknown, now: unknown): Change[] {
  const [old, fresh] = [asRecord(before), asRecord(now)]
  return [...new Set([...Object.keys(old), ...Object.keys(fresh)])]
    .filter((name) => JSON.stringify(old[name]) !== JSON.stringify(fresh[name]))
    .map((name) => ({ name, before: old[name], now: fresh[name] }))
}

function asRecord(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? { ...value } : {}
}
