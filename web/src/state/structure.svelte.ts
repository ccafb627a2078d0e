import { getStages, getSteps, getTasks } from '../api/routes'
import type { Stage, Step, Task } from '../api/types'
import { keepEnded, upsert, withoutCounts } from '../log/tree'

/** Steps that are shown before more are asked for. */
export const STEPS = 500
const MAX_PAGE = 5000

/** A task's stages, its first steps and child tasks: read at once, then kept true by what its socket tells. */
export class Structure {
  #stages = $state.raw<readonly Stage[]>([])
  #steps = $state.raw<readonly Step[]>([])
  #children = $state.raw<readonly Task[]>([])
  /** The step after which more are to be had. */
  #after = $state.raw<string | null>(null)
  private room = STEPS

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

  get hasMoreSteps(): boolean {
    return this.#after !== null
  }

  get children(): readonly Task[] {
    return this.#children
  }

  async load(): Promise<void> {
    await Promise.all([this.loadStages(), this.loadChildren(), this.loadSteps()])
  }

  async loadChildren(): Promise<void> {
    const query = new URLSearchParams({ parent: this.id, limit: '100' })
    await getTasks(query, this.signal).then((page) => (this.#children = page.tasks), asItWas)
  }

  private async loadSteps(): Promise<void> {
    await getSteps(this.id, Math.min(this.room, MAX_PAGE), null, this.signal).then((page) => {
      this.#steps = keepEnded(this.#steps, page.steps)
      this.#after = page.next_after
    }, asItWas)
  }

  async moreSteps(): Promise<void> {
    const page = await getSteps(this.id, STEPS, this.#after, this.signal)
    this.room = this.#steps.length + STEPS
    this.#steps = page.steps.reduce<readonly Step[]>((steps, step) => upsert(steps, step), this.#steps)
    this.#after = page.next_after
  }

  /** The stages with the counts they have now. */
  async loadStages(): Promise<void> {
    await getStages(this.id, this.signal).then((stages) => (this.#stages = stages), asItWas)
  }

  /** A stage as its socket tells it: only a question brings counts, so those known stay. */
  changeStage(stage: Stage): void {
    this.#stages = upsert(this.#stages, stage, withoutCounts(stage))
  }

  /** A step as its socket tells it; of those that are not shown, that they are there. */
  changeStep(step: Step): void {
    const shown = this.#steps.some((each) => each.id === step.id)
    if (shown || (this.#after === null && this.#steps.length < this.room)) this.#steps = upsert(this.#steps, step)
    else this.#after ??= this.#steps.at(-1)?.id ?? null
  }
}

/** The rows are the heart: a tree that cannot be had stays as it was. */
function asItWas(): void {}
