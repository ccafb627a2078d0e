import { expect, test } from 'vitest'
import { keptOf } from './again'

test('what hides nothing can be given again', () => {
  expect(keptOf({ folder: '/a', list: [1, null], text: 'redacted' })).toBe('whole')
  expect(keptOf(null)).toBe('whole')
  expect(keptOf(undefined)).toBe('whole')
})

test('a hidden secret and a cut text have to be put in again', () => {
  expect(keptOf({ deep: [{ password: '[redacted]' }] })).toBe('in part')
  expect(keptOf({ url: 'https://[redacted]@host/' })).toBe('in part')
  expect(keptOf({ text: 'head… [90000 bytes cut] …tail' })).toBe('in part')
})

test('what lay too deep, or was too much, has to be put in again', () => {
  expect(keptOf({ a: { a: '[deeper than 32 levels]' } })).toBe('in part')
  expect(keptOf({ list: [0, 0, '… 10001 more'] })).toBe('in part')
  expect(keptOf({ a: 1, '…': '… 7 more' })).toBe('in part')
  expect(keptOf({ texts: ['[left out: too much text]'] })).toBe('in part')
  expect(keptOf({ text: 'and … 7 more' })).toBe('whole')
})

test('parameters too large to be kept are not there', () => {
  expect(keptOf({ _truncated: true, _originalSize: 200_000, _preview: '{"a": ...' })).toBe('not')
})
