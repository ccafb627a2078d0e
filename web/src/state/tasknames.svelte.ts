import { SvelteMap } from 'svelte/reactivity'
import { getTask } from '../api/routes'
import type { Entry } from '../api/types'

/** Names of the tasks whose entries stand together; fetched once each, and an id does until then. */
export class TaskNames {
  private readonly names = new SvelteMap<string, string>()
  private readonly asked = new Set<string>()

  of(id: string): string {
    return this.names.get(id) ?? id
  }

  /** Fetches what is missing, up to a bound: a page rarely holds more tasks than that. */
  want(entries: readonly Entry[]): void {
    for (const { task_id: id } of entries) {
      if (this.asked.has(id) || this.asked.size >= 500) continue
      this.asked.add(id)
      // A task deleted meanwhile keeps its id for a name.
      getTask(id).then(
        (task) => this.names.set(id, task.name),
        () => undefined,
      )
    }
  }
}
