import type { Entry } from '../api/types'

/** What one can do from an entry; each narrows or moves the view. */
export interface RowActions {
  filterBy(field: 'source' | 'stage' | 'unit' | 'step_id', value: string): void
  filterByValue(path: readonly string[], value: unknown): void
  around(entry: Entry): void
  copy(text: string, what: string): void
  openStep?(id: string): void
}
