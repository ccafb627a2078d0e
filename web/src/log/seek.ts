import type { RowWindow } from './window'

/**
 * The seq of the nearest row after (1) or before (-1) `from` that fits, as far as the window can tell: null when there is
 * none in it, or when entries it does not hold lie between `from` and its rows.
 */
export function nextInside<T extends { seq: number }>(
  window: RowWindow<T>,
  from: number,
  direction: 1 | -1,
  fits: (row: T) => boolean,
): number | null {
  const { rows, atStart, atEnd } = window
  const [first, last] = [rows[0], rows.at(-1)]
  if (!first || !last) return null
  if (from < first.seq && !(direction === 1 && atStart)) return null
  if (from > last.seq && !(direction === -1 && atEnd)) return null
  const found =
    direction === 1
      ? rows.find((row) => row.seq > from && fits(row))
      : rows.findLast((row) => row.seq < from && fits(row))
  return found?.seq ?? null
}
