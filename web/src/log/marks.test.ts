import { expect, test } from 'vitest'
import type { Bucket } from '../api/types'
import { bucketEdges, exactMarks, filteredMarks, levelMarks } from './marks'

const at = (second: number) => `2026-02-07T12:00:0${second}.000000Z`
const all: Bucket[] = [
  { start: at(0), end: at(1), counts: { INFO: 90 } },
  { start: at(1), end: at(2), counts: {} },
  { start: at(2), end: at(3), counts: { INFO: 9, ERROR: 1 } },
]

test('known entries are marked where their seq lies', () => {
  expect(exactMarks([1, 100], 100)).toEqual([
    { from: 0, to: 0.01 },
    { from: 0.99, to: 1 },
  ])
  expect(exactMarks([1], 0)).toEqual([])
})

test('buckets of time become stretches of seq by what they hold', () => {
  expect(bucketEdges(all).map(({ from, to }) => [from, to])).toEqual([
    [0, 0.9],
    [0.9, 0.9],
    [0.9, 1],
  ])
  expect(levelMarks(all, 'ERROR')).toMatchObject([{ from: 0.9, to: 1 }])
})

test('a filtered histogram with other edges is placed by time', () => {
  const some: Bucket[] = [{ start: '2026-02-07T12:00:00.500000Z', end: at(1), counts: { INFO: 3 } }]
  expect(filteredMarks(all, some)[0]?.from).toBeCloseTo(0.45)
  expect(filteredMarks(all, some)[0]?.to).toBeCloseTo(0.9)
  expect(filteredMarks([], some)).toEqual([{ from: 0, to: 0 }])
})
