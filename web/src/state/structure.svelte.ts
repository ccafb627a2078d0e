import { getStages, getSteps } from '../api/routes'
import type { Stage, Step } from '../api/types'
import { upsert, withoutCounts } from '../log/tree'

/** A task's stages and steps: read as a whole, then kept true by what its socket tells. */
export class Structure {
  #stages = $state.raw<readonly Stage[]>([])
  #steps = $state.raw<readonly Step[]>([])

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

  async load(): Promise<void> {
    await Promise.all([
      this.loadStages(),
      getSteps(this.id, this.signal).then((steps) => (this.#steps = steps), asItWas),
    ])
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
