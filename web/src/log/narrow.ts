import { metadataToken, type LogFilter } from './filter'

/** Filters made from what one clicked on. All return the same filter when nothing changes. */

const FIELDS = { source: 'sources', stage: 'stages', unit: 'units', step_id: 'steps' } as const

export type NarrowField = keyof typeof FIELDS

export function withField(filter: LogFilter, field: NarrowField, value: string): LogFilter {
  const name = FIELDS[field]
  return filter[name].includes(value) ? filter : { ...filter, [name]: [...filter[name], value] }
}

export function toggleField(filter: LogFilter, field: NarrowField, value: string): LogFilter {
  const name = FIELDS[field]
  if (!filter[name].includes(value)) return withField(filter, field, value)
  return { ...filter, [name]: filter[name].filter((each) => each !== value) }
}

/** One value of an entry's metadata; objects and lists cannot be asked for. */
export function withMetadata(filter: LogFilter, path: readonly string[], value: unknown): LogFilter {
  const token = metadataToken(value)
  const key = path.join('.')
  if (token === null || filter.metadata.some((pair) => pair[0] === key && pair[1] === token)) return filter
  return { ...filter, metadata: [...filter.metadata, [key, token]] }
}
