import { describe, expect, test } from 'vitest'
import {
  DEFAULT_FILTER,
  EVERYTHING,
  filterKey,
  fromAddress,
  isDefault,
  metadataToken,
  toAddress,
  toMessage,
  toQuery,
  type LogFilter,
} from './filter'

const rich: LogFilter = {
  levels: ['INFO', 'ERROR'],
  sources: ['plugin', 'superset_api'],
  excludeSources: ['db'],
  stages: ['extract'],
  units: ['dash-7'],
  steps: ['st1'],
  search: 'a=b & c+d 100%',
  metadata: [
    ['dashboard_id', '7'],
    ['a.b', 'x y'],
  ],
  since: '2026-02-07T12:00:00Z',
  until: '2026-02-07T13:00:00Z',
}

describe('the filter in an address', () => {
  test('survives a round trip with every field set', () => {
    expect(fromAddress(new URLSearchParams(toAddress(rich).toString()))).toEqual(rich)
  })

  test('says nothing for the default, and the default is INFO and above', () => {
    expect(toAddress(DEFAULT_FILTER).toString()).toBe('')
    expect(fromAddress(new URLSearchParams())).toEqual(DEFAULT_FILTER)
    expect(DEFAULT_FILTER.levels).toEqual(['INFO', 'WARNING', 'ERROR'])
    expect(isDefault(fromAddress(new URLSearchParams('seq=7')))).toBe(true)
  })

  test('says DEBUG when everything is shown, which the service needs no parameter for', () => {
    expect(toAddress(EVERYTHING).toString()).toBe('min_level=DEBUG')
    expect(toQuery(EVERYTHING).toString()).toBe('')
    expect(fromAddress(new URLSearchParams('min_level=debug'))).toEqual(EVERYTHING)
  })

  test('reads levels by alias and together with a threshold, and never ends up with none', () => {
    expect(fromAddress(new URLSearchParams('level=warn&level=fatal')).levels).toEqual(['WARNING', 'ERROR'])
    expect(fromAddress(new URLSearchParams('level=DEBUG&level=ERROR&min_level=INFO')).levels).toEqual(['ERROR'])
    expect(fromAddress(new URLSearchParams('level=DEBUG&min_level=ERROR')).levels).toHaveLength(4)
    expect(fromAddress(new URLSearchParams('level=nonsense'))).toEqual(DEFAULT_FILTER)
  })

  test('leaves empty and repeated values out and cuts a search at the limit', () => {
    const filter = fromAddress(new URLSearchParams(`source=&source=a&source=a&search=${'x'.repeat(1500)}`))
    expect(filter.sources).toEqual(['a'])
    expect(filter.search).toHaveLength(1000)
  })
})

describe('the filter for the service', () => {
  test('a set of levels with a hole is sent as exact levels', () => {
    expect(toQuery(rich).getAll('level')).toEqual(['INFO', 'ERROR'])
    expect(toQuery(rich).has('min_level')).toBe(false)
  })

  test('a message for the socket has repeated values as arrays and single ones plain', () => {
    const message = toMessage(rich)
    expect(message.source).toEqual(['plugin', 'superset_api'])
    expect(message.exclude_source).toBe('db')
    expect(message['metadata.dashboard_id']).toBe('7')
  })

  test('equal filters have equal keys whatever the order, different ones differ', () => {
    expect(filterKey({ ...rich, sources: ['superset_api', 'plugin'] })).toBe(filterKey(rich))
    expect(filterKey({ ...rich, sources: ['plugin'] })).not.toBe(filterKey(rich))
  })

  test('a metadata value is asked for raw when a string, else as its JSON token', () => {
    expect(metadataToken('7')).toBe('7')
    expect(metadataToken(7)).toBe('7')
    expect(metadataToken(true)).toBe('true')
    expect(metadataToken(null)).toBe('null')
    expect(metadataToken({ a: 1 })).toBeNull()
  })
})
