import { expect, test } from 'vitest'
import { DEFAULT_FILTER } from '../log/filter'
import { exportHref, taskSocketUrl } from './routes'

test('the socket lives beside the page, secure when the page is, with filter and cursor', () => {
  expect(taskSocketUrl('https://host/logs/#/tasks/x?seq=1', 'a b', DEFAULT_FILTER, 17)).toBe(
    'wss://host/logs/ws/tasks/a%20b/logs?min_level=INFO&after=17',
  )
  expect(taskSocketUrl('http://host:1/', 'x', DEFAULT_FILTER, 0)).toMatch(/^ws:\/\/host:1\/ws\/tasks\/x\/logs\?/)
})

test('a download is of everything, or of what the filter keeps', () => {
  expect(exportHref('x', 'csv', null)).toBe('api/tasks/x/logs/export?format=csv')
  expect(exportHref('x', 'text', DEFAULT_FILTER)).toBe('api/tasks/x/logs/export?min_level=INFO&format=text')
})
