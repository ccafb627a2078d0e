import { expect, test } from 'vitest'
import { DEFAULT_FILTER } from './filter'
import { toggleField, withField, withMetadata } from './narrow'

test('a clicked field is added once, and toggling takes it away again', () => {
  const once = withField(DEFAULT_FILTER, 'step_id', 'st1')
  expect(once.steps).toEqual(['st1'])
  expect(withField(once, 'step_id', 'st1')).toBe(once)
  expect(toggleField(once, 'step_id', 'st1')).toEqual(DEFAULT_FILTER)
})

test('a clicked metadata value becomes its dotted key and token; lists and objects do nothing', () => {
  const found = withMetadata(DEFAULT_FILTER, ['nested', 'ok'], true)
  expect(found.metadata).toEqual([['nested.ok', 'true']])
  expect(withMetadata(found, ['nested', 'ok'], true)).toBe(found)
  expect(withMetadata(found, ['list'], [1])).toBe(found)
})
