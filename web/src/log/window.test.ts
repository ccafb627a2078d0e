import { describe, expect, test } from 'vitest'
import {
  append,
  covers,
  indexAtOrAfter,
  NO_ROWS,
  prepend,
  trimEnd,
  trimStart,
  type RowKind,
  type RowWindow,
} from './window'

interface Row {
  seq: number
  bytes: number
}
const kind: RowKind<Row> = { key: (row) => row.seq, weight: (row) => row.bytes }
const rows = (from: number, to: number, bytes = 1): Row[] =>
  Array.from({ length: to - from + 1 }, (_, at) => ({ seq: from + at, bytes }))
const seqs = (window: RowWindow<Row>) => window.rows.map((row) => row.seq)
const middle: RowWindow<Row> = { rows: rows(10, 20), atStart: false, atEnd: false }

describe('growing', () => {
  test('rows the window already has are left out at both ends, so overlapping reads make no duplicates', () => {
    expect(seqs(append(middle, rows(15, 25), kind, false))).toEqual(seqs({ ...middle, rows: rows(10, 25) }))
    expect(seqs(prepend(middle, rows(5, 12), kind, false))).toEqual(seqs({ ...middle, rows: rows(5, 20) }))
  })

  test('nothing new and the same end leave the very same window, so nothing is drawn again', () => {
    expect(append(middle, rows(12, 18), kind, false)).toBe(middle)
    expect(append(middle, [], kind, true)).not.toBe(middle)
  })

  test('an empty window takes what comes', () => {
    expect(append(NO_ROWS as RowWindow<Row>, rows(1, 3), kind, true).rows).toHaveLength(3)
    expect(prepend(NO_ROWS as RowWindow<Row>, rows(1, 3), kind, true).rows).toHaveLength(3)
  })
})

describe('bounds', () => {
  test('a hundred thousand appended rows never hold more than the bound', () => {
    let window: RowWindow<Row> = { rows: [], atStart: true, atEnd: true }
    for (let seq = 1; seq <= 100_000; seq += 500) {
      window = trimStart(append(window, rows(seq, seq + 499), kind, true), kind, { rows: 2_000, bytes: Infinity })
      expect(window.rows.length).toBeLessThanOrEqual(2_000)
    }
    expect(window.rows.at(-1)?.seq).toBe(100_000)
    expect(window.atStart).toBe(false)
    expect(window.atEnd).toBe(true)
  })

  test('bytes bound the window as well, and one row larger than the bound still shows', () => {
    const big: RowWindow<Row> = { rows: rows(1, 10, 100), atStart: true, atEnd: true }
    expect(seqs(trimStart(big, kind, { rows: 100, bytes: 350 }))).toEqual([8, 9, 10])
    expect(seqs(trimEnd(big, kind, { rows: 100, bytes: 350 }))).toEqual([1, 2, 3])
    expect(seqs(trimStart(big, kind, { rows: 100, bytes: 50 }))).toEqual([10])
    expect(seqs(trimEnd(big, kind, { rows: 100, bytes: 50 }))).toEqual([1])
  })

  test('what fits is left as it is', () => {
    expect(trimStart(middle, kind)).toBe(middle)
    expect(trimEnd(middle, kind)).toBe(middle)
  })

  test('dropping rows at an end makes that end unknown', () => {
    const whole: RowWindow<Row> = { rows: rows(1, 10), atStart: true, atEnd: true }
    expect(trimEnd(whole, kind, { rows: 4, bytes: Infinity })).toMatchObject({ atStart: true, atEnd: false })
  })
})

describe('positions', () => {
  test('a key is found by the row at it or the next one after', () => {
    const sparse: RowWindow<Row> = { rows: [2, 5, 9].map((seq) => ({ seq, bytes: 1 })), atStart: true, atEnd: true }
    expect([1, 2, 3, 9, 10].map((key) => indexAtOrAfter(sparse, key, kind))).toEqual([0, 0, 1, 2, 3])
  })

  test('the window knows what it does not know', () => {
    expect(covers(middle, 15, kind)).toBe(true)
    expect(covers(middle, 21, kind)).toBe(false)
    expect(covers({ ...middle, atEnd: true }, 21, kind)).toBe(true)
    expect(covers({ rows: [], atStart: true, atEnd: true }, 5, kind)).toBe(true)
  })
})
