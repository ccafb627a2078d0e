/** The list of tasks as its address says it, and as the service is asked. */

/** Spans of time an address may name, in hours: `age=24`. The service is asked for the moment they mean now. */
export const AGES: readonly (readonly [hours: number, name: string])[] = [
  [1, 'last hour'],
  [24, 'last 24 hours'],
  [168, 'last 7 days'],
]

const PASSED = [
  'status',
  'plugin',
  'trigger_type',
  'text',
  'min_duration',
  'account',
  'site',
  'parent',
  'schedule',
] as const

/** The service's query for an address; what the service would not know is left out. */
export function listQuery(address: URLSearchParams, now: number): URLSearchParams {
  const query = new URLSearchParams()
  for (const name of PASSED) for (const value of address.getAll(name)) if (value) query.append(name, value)
  const hours = Number(address.get('age'))
  if (hours > 0) query.set('started_after', new Date(now - hours * 3_600_000).toISOString())
  return query
}

/** A copy with one parameter replaced; no values remove it. */
export function withValues(query: URLSearchParams, name: string, values: readonly string[]): URLSearchParams {
  const next = new URLSearchParams(query)
  next.delete(name)
  for (const value of values) if (value) next.append(name, value)
  return next
}
