import { getTasks } from '../api/routes'
import type { Task } from '../api/types'
import { compare, isSame, sameQuery, type Before, type Comparison } from '../log/runs'

/** So many of the runs before it are shown, and read to compare with. */
const RUNS = 20
/** Names are found by a part of them: that many are read for the ones that are the same. */
const READ = 100
const NONE: Before = { runs: [], more: false, olderGood: null }

/** The other runs of what a task is a run of: those before it, and the newest since. */
export class Earlier {
  #before = $state.raw(NONE)
  #newest = $state.raw<Task | null>(null)

  constructor(private readonly signal: AbortSignal) {}

  /** Oldest first. */
  get runs(): readonly Task[] {
    return this.#before.runs.slice(0, RUNS).reverse()
  }

  /** The newest run after it; null where it is the newest itself. */
  get newest(): Task | null {
    return this.#newest
  }

  compare(task: Task): Comparison {
    return compare(task, this.#before)
  }

  /** What cannot be had is not shown: the task itself is what one came for. */
  async load(task: Task): Promise<void> {
    const at = task.started_at ?? task.created_at
    const [before, since] = await Promise.all([
      this.ask(task, { started_before: at }),
      this.ask(task, { started_after: at }),
    ])
    const isGood = ({ status }: Task) => status === 'success'
    const older = before.more && !before.runs.some(isGood)
    const good = older ? await this.ask(task, { started_before: at, status: 'success' }) : NONE
    this.#before = { ...before, olderGood: good.runs[0] ?? null }
    this.#newest = since.runs.find((each) => each.id !== task.id) ?? null
  }

  private async ask(task: Task, which: Record<string, string>): Promise<Before> {
    const query = sameQuery(task)
    for (const [name, value] of Object.entries(which)) query.set(name, value)
    query.set('limit', String(query.has('text') ? READ : RUNS))
    const found = await getTasks(query, this.signal).catch(() => null)
    if (!found) return NONE
    return { ...NONE, runs: found.tasks.filter((each) => isSame(task, each)), more: found.next !== null }
  }
}
