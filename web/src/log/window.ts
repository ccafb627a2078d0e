/**
 * The part of a task's entries the page holds: one contiguous run of the matching rows, in order, with a bound on
 * rows and on bytes. A value: every change returns a new window and shares the rows.
 *
 * Positions are keys (a seq), never indexes: the same run grows at both ends by key, and a jump replaces it.
 */
export interface RowWindow<T> {
  readonly rows: readonly T[]
  /** Nothing matching lies before the first row. */
  readonly atStart: boolean
  /** Nothing matching lies after the last row, as far as is known. */
  readonly atEnd: boolean
}

export interface Bounds {
  readonly rows: number
  readonly bytes: number
}

/** 10,000 rows are some 220,000 px: far below any browser's height limit, and more than a screen needs. */
export const WINDOW_BOUNDS: Bounds = { rows: 10_000, bytes: 48 * 1024 * 1024 }

export interface RowKind<T> {
  key(row: T): number
  /** About how many bytes holding the row costs. */
  weight(row: T): number
}

export const NO_ROWS: RowWindow<never> = { rows: [], atStart: true, atEnd: true }

/** Adds rows behind the last one; those the window already has are left out, so overlapping reads are harmless. */
export function append<T>(window: RowWindow<T>, rows: readonly T[], kind: RowKind<T>, atEnd: boolean): RowWindow<T> {
  const last = window.rows.at(-1)
  const fresh = last === undefined ? rows : rows.filter((row) => kind.key(row) > kind.key(last))
  if (!fresh.length && atEnd === window.atEnd) return window
  return { rows: fresh.length ? window.rows.concat(fresh) : window.rows, atStart: window.atStart, atEnd }
}

/** Adds rows before the first one, in the same order as the window's. */
export function prepend<T>(window: RowWindow<T>, rows: readonly T[], kind: RowKind<T>, atStart: boolean): RowWindow<T> {
  const first = window.rows[0]
  const fresh = first === undefined ? rows : rows.filter((row) => kind.key(row) < kind.key(first))
  return { rows: fresh.concat(window.rows), atStart, atEnd: window.atEnd }
}

/** Drops rows at the start until the bounds hold; the last row always stays. */
export function trimStart<T>(window: RowWindow<T>, kind: RowKind<T>, bounds: Bounds = WINDOW_BOUNDS): RowWindow<T> {
  const { rows } = window
  let bytes = 0
  let from = rows.length
  while (from > 0 && rows.length - from < bounds.rows) {
    bytes += kind.weight(rows[from - 1]!)
    if (bytes > bounds.bytes && from < rows.length) break
    from -= 1
  }
  return from === 0 ? window : { rows: rows.slice(from), atStart: false, atEnd: window.atEnd }
}

/** Drops rows at the end until the bounds hold; the first row always stays. */
export function trimEnd<T>(window: RowWindow<T>, kind: RowKind<T>, bounds: Bounds = WINDOW_BOUNDS): RowWindow<T> {
  const { rows } = window
  let bytes = 0
  let to = 0
  while (to < rows.length && to < bounds.rows) {
    bytes += kind.weight(rows[to]!)
    if (bytes > bounds.bytes && to > 0) break
    to += 1
  }
  return to === rows.length ? window : { rows: rows.slice(0, to), atStart: window.atStart, atEnd: false }
}

/** The index of the first row whose key is at or above `key`; the number of rows when all are below. */
export function indexAtOrAfter<T>(window: RowWindow<T>, key: number, kind: RowKind<T>): number {
  let low = 0
  let high = window.rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (kind.key(window.rows[middle]!) < key) low = middle + 1
    else high = middle
  }
  return low
}

/** Whether the window can tell what is at `key`: it lies inside the run, or beyond an end that is known. */
export function covers<T>(window: RowWindow<T>, key: number, kind: RowKind<T>): boolean {
  const first = window.rows[0]
  const last = window.rows.at(-1)
  if (first === undefined || last === undefined) return window.atStart && window.atEnd
  return (window.atStart || key >= kind.key(first)) && (window.atEnd || key <= kind.key(last))
}
