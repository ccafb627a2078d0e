import type { JsonValue, PluginStats } from '../api/types'

export interface PluginFacts {
  readonly total: number | null
  readonly failed: number
  readonly rate: number | null
  readonly p50: number | null
  readonly p95: number | null
}

/** The figures a plugin's card shows. */
export function pluginFacts(stats: PluginStats): PluginFacts {
  const byStatus = asCounts(stats.by_status ?? stats.counts)
  const sum = Object.values(byStatus).reduce((all, n) => all + n, 0)
  return {
    total: asNumber(stats.total) ?? sum,
    failed: byStatus.failed ?? 0,
    rate: asNumber(stats.success_rate),
    p50: asNumber(stats.p50 ?? stats.p50_duration),
    p95: asNumber(stats.p95 ?? stats.p95_duration),
  }
}

function asNumber(value: JsonValue | undefined): number | null {
  return typeof value === 'number' ? value : null
}

function asCounts(value: JsonValue | undefined): Record<string, number> {
  if (!value || typeof value !== 'object' || Array.isArray(value)) return {}
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, number] => typeof pair[1] === 'number'),
  )
}
