import type { Entry, Progress } from '../api/types'

/** How many characters of a message a folded row shows, and an opened one before it asks. */
export const FOLDED_CHARS = 2_000
export const OPENED_CHARS = 20_000

export interface Fold {
  /** What the row shows: the first line, cut. */
  readonly head: string
  /** How many more lines there are. */
  readonly lines: number
  /** How many characters of the first line are not shown. */
  readonly cut: number
}

/** What a folded row shows of a message. */
export function fold(message: string): Fold {
  const text = message.endsWith('\n') ? message.slice(0, -1) : message
  const end = text.indexOf('\n')
  const first = (end < 0 ? text : text.slice(0, end)).replace(/\r$/, '')
  let lines = 0
  for (let at = end; at >= 0; at = text.indexOf('\n', at + 1)) lines += 1
  return { head: first.slice(0, FOLDED_CHARS), lines, cut: Math.max(0, first.length - FOLDED_CHARS) }
}

/** The traceback an entry carries, if any. */
export function traceback(entry: Entry): string | null {
  const found = entry.metadata?.traceback
  return typeof found === 'string' && found ? found : null
}

/** The progress an entry reports: `metadata.progress`, as an object or as a percentage. */
export function progressOf(entry: Pick<Entry, 'metadata'>): Progress | null {
  const found = entry.metadata?.progress
  if (typeof found === 'number') return Number.isFinite(found) ? { current: found, total: 100, message: null } : null
  if (!found || typeof found !== 'object') return null
  const { current, total, message } = found as { [key: string]: unknown }
  if (typeof current !== 'number') return null
  return {
    current,
    total: typeof total === 'number' ? total : null,
    message: typeof message === 'string' ? message : null,
  }
}

/** Between 0 and 1, or null when the end is not known. */
export function fraction(progress: Progress | null): number | null {
  if (!progress || !progress.total || progress.total <= 0) return null
  return Math.min(1, Math.max(0, progress.current / progress.total))
}

/** About what holding an entry costs: its characters twice, and the object. */
export function weight(entry: Entry): number {
  return 400 + 2 * entry.message.length + (entry.metadata ? 2 * roughLength(entry.metadata) : 0)
}

function roughLength(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (!value || typeof value !== 'object') return 8
  const parts: unknown[] = Array.isArray(value) ? value : Object.values(value)
  return parts.reduce((sum: number, part) => sum + 16 + roughLength(part), 0)
}

/** An entry as one line of text (and its traceback below), as copying gives it. */
export function asText(entry: Entry, message: string): string {
  const stage = entry.stage ? ` [${entry.stage}]` : ''
  const trace = traceback(entry)
  return `${entry.timestamp} ${entry.level.padEnd(7)} ${entry.source}${stage} ${message}${trace ? `\n${trace}` : ''}`
}
