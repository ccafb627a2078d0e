import { expect, test } from 'vitest'
import { fromInput, toInput } from './moment'

test('an input shows a moment in the zone the page shows, and is read back as the same moment', () => {
  const moment = '2026-02-07T12:00:00.123Z'
  expect(toInput(moment, 'utc')).toBe('2026-02-07T12:00:00.123')
  for (const mode of ['utc', 'local', 'relative'] as const) expect(fromInput(toInput(moment, mode), mode)).toBe(moment)
})

test('a time without seconds is one, and what is no time is none', () => {
  expect(fromInput('2026-02-07T12:00', 'utc')).toBe('2026-02-07T12:00:00.000Z')
  expect(fromInput('', 'utc')).toBe('')
  expect(fromInput('yesterday', 'utc')).toBe('')
  expect(toInput('', 'local')).toBe('')
})
