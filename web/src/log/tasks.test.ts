import { expect, test } from 'vitest'
import { listQuery, withValues } from './tasks'

test('an age becomes the moment it means, and what the service does not know is not sent', () => {
  const query = listQuery(
    new URLSearchParams('status=failed&status=running&age=1&text=&nonsense=1'),
    Date.parse('2026-02-07T12:00:00Z'),
  )
  expect(query.toString()).toBe('status=failed&status=running&started_after=2026-02-07T11%3A00%3A00.000Z')
})

test('replacing a parameter leaves the others and the original alone', () => {
  const query = new URLSearchParams('status=failed&text=a')
  expect(withValues(query, 'status', ['success', 'running']).toString()).toBe('text=a&status=success&status=running')
  expect(withValues(query, 'status', []).toString()).toBe('text=a')
  expect(query.get('status')).toBe('failed')
})
