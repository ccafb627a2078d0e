import { expect, test } from 'vitest'
import { asThreshold, atLeast, LEVELS, parseLevel, toggleLevel } from './levels'

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
