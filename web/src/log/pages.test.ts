import { expect, test } from 'vitest'
import { PageCache } from './pages'

test('the page used longest ago goes first', () => {
  const cache = new PageCache<string>(2, 1000)
  cache.put('a', 'A', 1)
  cache.put('b', 'B', 1)
  expect(cache.get('a')).toBe('A')
  cache.put('c', 'C', 1)
  expect(cache.get('b')).toBeUndefined()
  expect(cache.get('a')).toBe('A')
  expect(cache.size).toBe(2)
})

test('bytes bound it too, a replaced page is counted once, and a page larger than the bound is not kept', () => {
  const cache = new PageCache<string>(10, 100)
  cache.put('a', 'A', 60)
  cache.put('a', 'A2', 60)
  cache.put('b', 'B', 40)
  expect(cache.size).toBe(2)
  cache.put('c', 'C', 30)
  expect(cache.get('a')).toBeUndefined()
  cache.put('huge', 'H', 101)
  expect(cache.get('huge')).toBeUndefined()
})
