import { expect, test } from 'vitest'
import {
  ago,
  count,
  duration,
  edgeTime,
  fullTime,
  listTime,
  millis,
  plural,
  rowTime,
  secondsBetween,
  short,
  size,
  shortSource,
} from './format'

test('numbers are grouped, short ones keep three digits at most', () => {
  expect(count(1234567)).toBe('1,234,567')
  expect([count(0), count(999), count(-1000), count(1234.56789)]).toEqual(['0', '999', '-1,000', '1,234.568'])
  expect([0, 999, 1000, 1260, 18_412, 1_234_567].map(short)).toEqual(['0', '999', '1k', '1.2k', '18k', '1.2M'])
  expect(plural(1, 'entry', 'entries')).toBe('1 entry')
  expect(plural(18412, 'entry', 'entries')).toBe('18,412 entries')
})

test('sizes are decimal with a unit', () => {
  expect([0, 999, 1000, 1_200_000_000].map(size)).toEqual(['0 B', '999 B', '1 kB', '1.2 GB'])
})

test('durations read as people say them', () => {
  expect([0.004, 0.12, 3.14, 42.4, 59.9, 134.2, 3_700, 90_000].map(duration)).toEqual([
    '4 ms',
    '0.1 s',
    '3.1 s',
    '42 s',
    '1m 00s',
    '2m 14s',
    '1h 01m',
    '1d 1h',
  ])
  expect(duration(NaN)).toBe('–')
  expect([0, 0.0003].map(duration)).toEqual(['0 ms', '< 1 ms'])
})

test('microseconds survive as a fraction of a millisecond', () => {
  expect(millis('2026-02-07T12:00:00.123456Z') - millis('2026-02-07T12:00:00.123Z')).toBeCloseTo(0.456)
  expect(secondsBetween('2026-02-07T12:00:00Z', '2026-02-07T12:00:01.500000Z')).toBe(1.5)
})

test('a row shows milliseconds in UTC, with the date where asked, and relative to the start', () => {
  expect(rowTime('2026-02-07T12:00:00.123456Z', 'utc', null)).toBe('12:00:00.123')
  expect(rowTime('2026-02-07T12:00:00Z', 'utc', null, true)).toBe('02-07 12:00:00.000')
  expect(rowTime('2026-02-07T12:01:02.500000Z', 'relative', '2026-02-07T12:00:00Z')).toBe('+1:02.500')
  expect(rowTime('2026-02-07T11:59:59.900000Z', 'relative', '2026-02-07T12:00:00Z')).toBe('-0.100')
  expect(rowTime('2026-02-07T12:00:00.123456Z', 'local', null)).toMatch(/^\d\d:\d\d:\d\d\.123$/)
})

test("a chart's ends are as fine as its span", () => {
  const at = '2026-02-07T12:00:00.123456Z'
  expect([0.1, 100, 100_000].map((span) => edgeTime(at, 'utc', span))).toEqual([
    '12:00:00.123',
    '12:00:00',
    '2026-02-07 12:00',
  ])
})

test('a full time names its zone and a list shows the date only of other days', () => {
  expect(fullTime('2026-02-07T12:00:00.123456Z', 'utc')).toBe('2026-02-07 12:00:00.123456 UTC')
  expect(fullTime('2026-02-07T12:00:00.123456Z', 'local')).toMatch(/^2026-02-0\d \d\d:\d\d:\d\d\.123 UTC[+-]\d\d:\d\d$/)
  const now = Date.parse('2026-02-07T13:00:00Z')
  expect(listTime('2026-02-07T12:00:00.123456Z', 'utc', now)).toBe('12:00:00')
  expect(listTime('2026-02-06T12:00:00.123456Z', 'utc', now)).toBe('02-06 12:00:00')
  expect(ago(3 * 3600)).toBe('3 h ago')
})

test('a long dotted source is known by its last part; a short one, or one without dots, stays whole', () => {
  expect(shortSource('org.apache.hadoop.hdfs.LeaseRenewer')).toBe('…LeaseRenewer')
  expect(shortSource('asyncio.events')).toBe('asyncio.events')
  expect(shortSource('a_source_of_more_than_fourteen')).toBe('a_source_of_more_than_fourteen')
  expect(shortSource('ends.with.a.dot.')).toBe('ends.with.a.dot.')
})
