import { expect, test } from 'vitest'
import { asThreshold, atLeast, hiddenOf, LEVELS, parseLevel, toggleLevel } from './levels'

test('a level is known in any case and by its aliases', () => {
  expect(parseLevel('warn')).toBe('WARNING')
  expect(parseLevel('Critical')).toBe('ERROR')
  expect(parseLevel('trace')).toBe('DEBUG')
  expect(parseLevel('loud')).toBeNull()
})

test('only a set without holes up to ERROR is a threshold', () => {
  expect(asThreshold(atLeast('WARNING'))).toBe('WARNING')
  expect(asThreshold(['INFO', 'ERROR'])).toBeNull()
  expect(asThreshold(['DEBUG'])).toBeNull()
  expect(asThreshold(LEVELS)).toBe('DEBUG')
})

test('switching a level keeps the order, and switching off the last one shows all', () => {
  expect(toggleLevel(['ERROR'], 'INFO')).toEqual(['INFO', 'ERROR'])
  expect(toggleLevel(['INFO', 'ERROR'], 'ERROR')).toEqual(['INFO'])
  expect(toggleLevel(['INFO'], 'INFO')).toEqual([...LEVELS])
})

test('hidden is what has another level, whatever else is counted', () => {
  expect(hiddenOf({ DEBUG: 3, INFO: 20, ERROR: 1 }, atLeast('INFO'))).toBe(3)
  expect(hiddenOf({ DEBUG: 3, INFO: 20 }, ['ERROR'])).toBe(23)
  expect(hiddenOf({ INFO: 20 }, atLeast('INFO'))).toBe(0)
  expect(hiddenOf({}, LEVELS)).toBe(0)
})
