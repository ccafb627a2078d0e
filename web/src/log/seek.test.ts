import { expect, test } from 'vitest'
import { nextInside } from './seek'

const rows = [10, 11, 12, 13, 14].map((seq) => ({ seq }))
const even = (row: { seq: number }) => row.seq % 2 === 0

test('the nearest fitting row is found in both directions, never the one started from', () => {
  const window = { rows, atStart: false, atEnd: false }
  expect(nextInside(window, 10, 1, even)).toBe(12)
  expect(nextInside(window, 14, -1, even)).toBe(12)
  expect(nextInside(window, 14, 1, even)).toBeNull()
})

test('outside of the window it only answers where nothing can lie between', () => {
  expect(nextInside({ rows, atStart: false, atEnd: false }, 3, 1, even)).toBeNull()
  expect(nextInside({ rows, atStart: true, atEnd: false }, 3, 1, even)).toBe(10)
  expect(nextInside({ rows, atStart: false, atEnd: false }, 99, -1, even)).toBeNull()
  expect(nextInside({ rows, atStart: false, atEnd: true }, 99, -1, even)).toBe(14)
  expect(nextInside({ rows: [], atStart: true, atEnd: true }, 3, 1, even)).toBeNull()
})
