import { expect, test } from 'vitest'
import { asText, fold, FOLDED_CHARS, fraction, progressOf } from './message'

test('a message folds to its first line; a trailing line break is no line', () => {
  expect(fold('one\ntwo\nthree')).toEqual({ head: 'one', lines: 2, cut: 0 })
  expect(fold('one\r\n')).toEqual({ head: 'one', lines: 0, cut: 0 })
  expect(fold('')).toEqual({ head: '', lines: 0, cut: 0 })
})

test('a megabyte on one line is cut, and the row knows by how much', () => {
  const folded = fold('x'.repeat(1_000_000))
  expect(folded.head).toHaveLength(FOLDED_CHARS)
  expect(folded.cut).toBe(1_000_000 - FOLDED_CHARS)
})

test('progress is read from an object or a percentage, and nothing else counts', () => {
  const of = (progress: never) => progressOf({ metadata: { progress } })
  expect(of({ current: 3, total: 10, message: 'halfway' } as never)).toEqual({
    current: 3,
    total: 10,
    message: 'halfway',
  })
  expect(of(40 as never)).toEqual({ current: 40, total: 100, message: null })
  expect(of('40' as never)).toBeNull()
  expect(of(null as never)).toBeNull()
  expect(fraction({ current: 15, total: 10, message: null })).toBe(1)
  expect(fraction({ current: 5, total: null, message: null })).toBeNull()
  expect(fraction({ current: 5, total: 0, message: null })).toBeNull()
})

test('an entry copies as one line, with its traceback below', () => {
  const entry = {
    id: 1,
    task_id: 't',
    seq: 1,
    timestamp: '2026-02-07T12:00:00.123456Z',
    level: 'ERROR' as const,
    source: 'plugin',
    stage: 'archive',
    unit: null,
    step_id: null,
    message: 'failed',
    metadata: { traceback: 'Traceback…' },
  }
  expect(asText(entry, 'failed')).toBe('2026-02-07T12:00:00.123456Z ERROR   plugin [archive] failed\nTraceback…')
})
