import { ApiError } from '../api/client'
import { getCrossLogs, getLogs } from '../api/routes'
import type { Entry, Gap, LogPage } from '../api/types'
import { filterKey, toQuery, type LogFilter } from '../log/filter'
import { weight } from '../log/message'
import { PageCache } from '../log/pages'
import type { From, RowPage, RowSource } from './rows.svelte'

export const PAGE_ROWS = 500
/** Of what is shown first: enough for any screen, and for `LogList` not to want the next page at once. */
export const FIRST_ROWS = 200

/** How often the service, which waits a second itself, is asked for rows that are not stored yet. */
const ATTEMPTS = 5
const NOT_STORED = 'The database does not store in time what was logged here; it is not lost. Try again in a moment.'

/** A task's entries under one filter, oldest first, keyed by seq. Pages already seen come from the cache. */
export function taskSource(
  id: string,
  filter: LogFilter,
  cache: PageCache<RowPage<Entry>>,
  seen: (page: LogPage) => void,
): RowSource<Entry> {
  const prefix = filterKey(filter)
  return {
    key: (entry) => entry.seq,
    weight,
    async page(from, signal) {
      const name = `${prefix}|${JSON.stringify(from)}`
      const known = cache.get(name)
      if (known) return known
      const limit = from === 'end' || from === 'start' ? FIRST_ROWS : PAGE_ROWS
      const between = typeof from === 'object' && 'before' in from
      const backwards = from === 'end' || between
      const ask = () => getLogs(id, filter, { ...cursor(from), limit }, signal)
      let answer = await ask()
      // What is not stored yet would be missing between these rows and those that are shown.
      for (let again = 0; between && !answer.complete; again += 1) {
        if (again === ATTEMPTS) throw new ApiError(503, 'Not all is there yet', NOT_STORED)
        answer = await ask()
      }
      seen(answer)
      const partial = !answer.complete
      const more = backwards ? answer.next_before !== null : answer.next_after !== null || partial
      const page = { rows: backwards ? answer.entries.reverse() : answer.entries, more, partial }
      // Only a page bounded by its keys stays true while entries are added.
      if (more && from !== 'end' && !partial)
        cache.put(
          name,
          page,
          page.rows.reduce((sum, entry) => sum + weight(entry), 0),
        )
      return page
    },
  }
}

/** Entries across tasks, newest first: the key is the negative id. */
export function crossSource(filter: LogFilter, more: URLSearchParams): RowSource<Entry> {
  return {
    key: (entry) => -entry.id,
    weight,
    async page(from, signal) {
      const query = toQuery(filter)
      for (const [name, value] of more) query.append(name, value)
      query.set('limit', String(PAGE_ROWS))
      if (typeof from === 'object' && 'after' in from) query.set('before_id', String(-from.after))
      const newer = typeof from === 'object' && 'before' in from
      if (newer) {
        // The ones next to the row, not the newest of all: there must be no hole between.
        query.set('after_id', String(-from.before))
        query.set('order', 'asc')
      }
      const { entries, next_after, next_before } = await getCrossLogs(query, signal)
      return newer
        ? { rows: entries.reverse(), more: next_after !== null }
        : { rows: entries, more: next_before !== null }
    },
  }
}

/** Gaps known so far with those of another page, in order, each once. */
export function mergeGaps(known: readonly Gap[], found: readonly Gap[]): readonly Gap[] {
  const fresh = found.filter(
    (gap) => !known.some((each) => each.from_seq === gap.from_seq && each.to_seq === gap.to_seq),
  )
  return fresh.length ? [...known, ...fresh].sort((a, b) => a.from_seq - b.from_seq) : known
}

function cursor(from: From): { after?: number; before?: number; order?: 'desc' } {
  if (from === 'start') return {}
  if (from === 'end') return { order: 'desc' }
  return 'after' in from ? { after: from.after } : { before: from.before, order: 'desc' }
}
