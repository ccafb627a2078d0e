import { expect, test } from 'vitest'
import { keyState, readDays, scopeText } from './access'

test('a scope is said in words', () => {
  expect(scopeText({ account: null, site: null, all_scopes: true })).toBe('everything')
  expect(scopeText({ account: 'acme', site: 'east', all_scopes: false })).toBe('acme / east')
  expect(scopeText({ account: 'acme', site: null, all_scopes: false })).toBe('account acme')
  expect(scopeText({ account: null, site: 'east', all_scopes: false })).toBe('site east')
})

test('a key that is revoked stays so, expired or not', () => {
  const now = Date.parse('2026-11-21T12:00:00Z')
  expect(keyState({ expires_at: null, revoked_at: null }, now)).toBe('active')
  expect(keyState({ expires_at: '2026-11-21T12:00:00.000000Z', revoked_at: null }, now)).toBe('expired')
  expect(keyState({ expires_at: '2026-11-21T12:00:01.000000Z', revoked_at: null }, now)).toBe('active')
  expect(keyState({ expires_at: '2020-01-01T00:00:00Z', revoked_at: '2019-01-01T00:00:00Z' }, now)).toBe('revoked')
})

test('days are whole and in bounds, or none', () => {
  expect(readDays(' 90 ')).toBe(90)
  expect(readDays('')).toBe(null)
  for (const text of ['0', '-1', '1.5', 'soon', '4000']) expect(() => readDays(text)).toThrow(/Whole days/)
})
