import type { Level } from '../api/types'

/** Least severe first, as `min_level` counts. */
export const LEVELS: readonly Level[] = ['DEBUG', 'INFO', 'WARNING', 'ERROR']

const ALIASES: Record<string, Level> = { WARN: 'WARNING', CRITICAL: 'ERROR', FATAL: 'ERROR', TRACE: 'DEBUG' }

/** The level a name in any case means, or null. */
export function parseLevel(name: string): Level | null {
  const upper = name.trim().toUpperCase()
  return LEVELS.find((level) => level === upper) ?? ALIASES[upper] ?? null
}

export function atLeast(level: Level): Level[] {
  return LEVELS.slice(LEVELS.indexOf(level))
}

/** The threshold a set of levels amounts to, or null when it has holes. */
export function asThreshold(levels: readonly Level[]): Level | null {
  const lowest = LEVELS.find((level) => levels.includes(level))
  return lowest && atLeast(lowest).length === new Set(levels).size ? lowest : null
}

/** The set with one level switched; never empty, since no level at all would only hide everything. */
export function toggleLevel(levels: readonly Level[], level: Level): Level[] {
  const next = LEVELS.filter((each) => (each === level) !== levels.includes(each))
  return next.length ? next : [...LEVELS]
}

/** How many of the entries that were counted by level are hidden where only these levels are shown. */
export function hiddenOf(counts: Partial<Record<Level, number>>, shown: readonly Level[]): number {
  return LEVELS.reduce((sum, level) => sum + (shown.includes(level) ? 0 : (counts[level] ?? 0)), 0)
}
