import { expect, test } from 'vitest'
import { hrefOf, parseHash, taskHref } from './route'

test('an empty address is the list of tasks', () => {
  for (const hash of ['', '#', '#/', '#/tasks']) expect(parseHash(hash).view).toBe('tasks')
})

test('a task and its query are found, whatever characters the id has', () => {
  const query = new URLSearchParams({ search: 'a?b#c', seq: '17' })
  const route = parseHash(taskHref('id/with ?#% signs', query))
  expect(route).toMatchObject({ view: 'task', id: 'id/with ?#% signs' })
  expect(route.query.get('search')).toBe('a?b#c')
})

test('what is no page says so, and a broken escape does not throw', () => {
  expect(parseHash('#/nowhere').view).toBe('unknown')
  expect(parseHash('#/tasks/a/b').view).toBe('unknown')
  expect(parseHash('#/tasks/%E0%A4%A')).toMatchObject({ view: 'task', id: '%E0%A4%A' })
})

test('an address without parameters has no question mark', () => {
  expect(hrefOf('/logs', new URLSearchParams())).toBe('#/logs')
})
