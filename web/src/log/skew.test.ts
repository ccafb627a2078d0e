import { expect, test } from 'vitest'
import { skewOf } from './skew'

const NOON = Date.parse('2026-11-22T12:00:00Z')
const DATE = 'Sun, 22 Nov 2026 12:00:00 GMT'

test('clocks that agree within the second an answer is dated to have no skew', () => {
  expect(skewOf(DATE, NOON + 100, NOON + 200)).toBe(0)
  expect(skewOf(DATE, NOON + 900, NOON + 1_900)).toBe(0)
})

test('a machine an hour behind, or ahead, is told by how much', () => {
  expect(skewOf(DATE, NOON - 3_600_000, NOON - 3_600_000)).toBe(3_600_500)
  expect(skewOf(DATE, NOON + 3_600_000, NOON + 3_600_000)).toBe(-3_599_500)
})

test('an answer without a date, one that took long and one during which the clock was set tell nothing', () => {
  expect(skewOf(null, NOON, NOON)).toBeNull()
  expect(skewOf('yesterday', NOON, NOON)).toBeNull()
  expect(skewOf(DATE, NOON, NOON + 60_000)).toBeNull()
  expect(skewOf(DATE, NOON, NOON - 60_000)).toBeNull()
})
