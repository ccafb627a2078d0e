import type { Entry, Level } from '../api/types'
import { asThreshold, atLeast, LEVELS, parseLevel } from './levels'

/**
 * What a viewer wants to see of a task. The codec below speaks the service's own parameter names, so an
 * address of the page, a REST query and a WebSocket query read the same.
 */
export interface LogFilter {
  readonly levels: readonly Level[]
  readonly sources: readonly string[]
  readonly excludeSources: readonly string[]
  readonly stages: readonly string[]
  readonly units: readonly string[]
  readonly steps: readonly string[]
  readonly search: string
  readonly metadata: readonly (readonly [key: string, value: string])[]
  readonly since: string
  readonly until: string
}

export const EVERYTHING: LogFilter = {
  levels: LEVELS,
  sources: [],
  excludeSources: [],
  stages: [],
  units: [],
  steps: [],
  search: '',
  metadata: [],
  since: '',
  until: '',
}

/** What an address that says nothing means: DEBUG is hidden. */
export const DEFAULT_FILTER: LogFilter = { ...EVERYTHING, levels: atLeast('INFO') }

/** The service refuses longer ones. */
export const SEARCH_LIMIT = 1000

type ListField = 'sources' | 'excludeSources' | 'stages' | 'units' | 'steps'
const LISTS: readonly (readonly [ListField, string])[] = [
  ['sources', 'source'],
  ['excludeSources', 'exclude_source'],
  ['stages', 'stage'],
  ['units', 'unit'],
  ['steps', 'step_id'],
]

/** The filter as query parameters for the service. All levels need no parameter there. */
export function toQuery(filter: LogFilter): URLSearchParams {
  const query = new URLSearchParams()
  const threshold = asThreshold(filter.levels)
  if (threshold) {
    if (threshold !== 'DEBUG') query.set('min_level', threshold)
  } else for (const level of filter.levels) query.append('level', level)
  for (const [field, name] of LISTS) for (const value of filter[field]) query.append(name, value)
  if (filter.search) query.set('search', filter.search)
  for (const [key, value] of filter.metadata) query.append(`metadata.${key}`, value)
  if (filter.since) query.set('since', filter.since)
  if (filter.until) query.set('until', filter.until)
  return query
}

/** The filter as parameters of the page's address: as for the service, except that the default is what goes unsaid. */
export function toAddress(filter: LogFilter): URLSearchParams {
  const query = toQuery(filter)
  if (asThreshold(filter.levels) === 'DEBUG') query.set('min_level', 'DEBUG')
  if (asThreshold(filter.levels) === 'INFO') query.delete('min_level')
  return query
}

/** Reads an address; what it does not understand it leaves out, since a link must always open. */
export function fromAddress(query: URLSearchParams): LogFilter {
  const min = parseLevel(query.get('min_level') ?? '')
  const exact = query.getAll('level').flatMap((name) => parseLevel(name) ?? [])
  const chosen = LEVELS.filter((level) => exact.includes(level))
  let levels: readonly Level[] = min ? atLeast(min) : chosen.length ? LEVELS : DEFAULT_FILTER.levels
  if (chosen.length) levels = levels.filter((level) => chosen.includes(level))
  const lists = Object.fromEntries(LISTS.map(([field, name]) => [field, unique(query.getAll(name))]))
  return {
    ...DEFAULT_FILTER,
    ...lists,
    levels: levels.length ? levels : LEVELS,
    search: (query.get('search') ?? '').slice(0, SEARCH_LIMIT),
    metadata: [...query]
      .filter(([name]) => name.startsWith('metadata.'))
      .map(([name, value]) => [name.slice(9), value]),
    since: query.get('since') ?? '',
    until: query.get('until') ?? '',
  }
}

/** The filter as the `filter` message of a task's WebSocket wants it: repeated values as arrays. */
export function toMessage(filter: LogFilter): Record<string, string | string[]> {
  const message: Record<string, string | string[]> = {}
  for (const [name, value] of toQuery(filter)) {
    const before = message[name]
    message[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value]
  }
  return message
}

/** Equal filters have equal keys; the order of repeated values does not matter. */
export function filterKey(filter: LogFilter): string {
  const query = toQuery(filter)
  query.sort()
  return [...query]
    .map((pair) => pair.map(encodeURIComponent).join('='))
    .sort()
    .join('&')
}

export function isDefault(filter: LogFilter): boolean {
  return filterKey(filter) === filterKey(DEFAULT_FILTER)
}

/** How the service spells a metadata value in `metadata.KEY=VALUE`; null when it cannot be asked for. */
export function metadataToken(value: unknown): string | null {
  if (typeof value === 'string') return value
  return value !== null && typeof value === 'object' ? null : JSON.stringify(value)
}

/** Whether levels alone hide the entry: what a newly arriving count of hidden rows needs. */
export function levelHides(filter: LogFilter, entry: Pick<Entry, 'level'>): boolean {
  return !filter.levels.includes(entry.level)
}

function unique(values: string[]): string[] {
  return [...new Set(values.filter((value) => value !== ''))]
}
