import { expect, test } from 'vitest'
import { readInterval, timingText } from './schedules'

test('an interval is said in the largest unit that fits it', () => {
  const every = (interval: number) => timingText({ cron: null, interval, time_zone: 'UTC' })
  expect(every(900)).toBe('every 15 m')
  expect(every(86_400)).toBe('every 1 d')
  expect(every(90)).toBe('every 90 s')
  expect(every(1.5)).toBe('every 1.5 s')
})

test('cron is said with the zone it means', () => {
  expect(timingText({ cron: '30 2 1 * *', interval: null, time_zone: 'Europe/Berlin' })).toBe(
    '30 2 1 * * (Europe/Berlin)',
  )
})

test('intervals are read as people write them, and nothing else', () => {
  expect(readInterval('15m')).toBe(900)
  expect(readInterval(' 1.5 H ')).toBe(5400)
  expect(readInterval('90')).toBe(90)
  for (const text of ['', 'soon', '0', '0.5s', '-3m', '5 weeks']) expect(() => readInterval(text)).toThrow(/interval/)
})

test('cron that fires once a day or an hour is said in words', () => {
  const said = (cron: string) => timingText({ cron, interval: null, time_zone: 'UTC' })
  expect(said('30 2 * * *')).toBe('daily at 02:30 (UTC)')
  expect(said('0 9 * * 1-5')).toBe('Monday to Friday at 09:00 (UTC)')
  expect(said('5 0 * * 0')).toBe('Sundays at 00:05 (UTC)')
  expect(said('15 * * * *')).toBe('hourly at :15 (UTC)')
  for (const cron of ['*/5 * * * *', '0 0 1 * *', '0 0 * 2 *', '0 25 * * *', '0 0 * * 9']) {
    expect(said(cron)).toBe(`${cron} (UTC)`)
  }
})
