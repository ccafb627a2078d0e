import { getStages, getSteps, getTasks } from '../api/routes'
import type { Stage, Step, Task } from '../api/types'
import { upsert, withoutCounts } from '../log/tree'

/** A task's stages, steps and child tasks: read as a whole, then kept true by what its socket tells. */
export class Structure {
  #stages = $state.raw<readonly Stage[]>([])
  #steps = $state.raw<readonly Step[]>([])
  #children = $state.raw<readonly Task[]>([])

  constructor(
    private readonly id: string,
    private readonly signal: AbortSignal,
  ) {}

  get stages(): readonly Stage[] {
    return this.#stages
  }

  get steps(): readonly Step[] {
    return this.#steps
  }

  get children(): readonly Task[] {
    return this.#children
  }

  async load(): Promise<void> {
    await Promise.all([
      this.loadStages(),
      this.loadChildren(),
      getSteps(this.id, this.signal).then((steps) => (this.#steps = steps), asItWas),
    ])
  }

  async loadChildren(): Promise<void> {
    const query = new URLSearchParams({ parent: this.id, limit: '100' })
    await getTasks(query, this.signal).then((page) => (this.#children = page.tasks), asItWas)
  }

  /** The stages with the counts they have now. */
  async loadStages(): Promise<void> {
    await getStages(this.id, this.signal).then((stages) => (this.#stages = stages), asItWas)
  }

  /** A stage as its socket tells it: only a question brings counts, so those known stay. */
  changeStage(stage: Stage): void {
    this.#stages = upsert(this.#stages, stage, withoutCounts(stage))
  }

  changeStep(step: Step): void {
    this.#steps = upsert(this.#steps, step)
  }
}

/** The rows are the heart: a tree that cannot be had stays as it was. */
function asItWas(): void {}
