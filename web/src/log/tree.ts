import type { Stage, Step } from '../api/types'

/** A task's stages with what lies in them: steps, nested by parent, and units with counts. */
export interface StageNode {
  readonly stage: Stage
  readonly steps: readonly StepNode[]
  readonly units: readonly { unit: string; log_count: number }[]
}

export interface StepNode {
  readonly step: Step
  readonly children: readonly StepNode[]
}

/** Numbered stages first, in order, then mere labels; steps without a stage of their own come last, under null. */
export function stageTree(stages: readonly Stage[], steps: readonly Step[]): { nodes: StageNode[]; loose: StepNode[] } {
  const ordered = [...stages].sort((a, b) => (a.number ?? Infinity) - (b.number ?? Infinity) || 0)
  const names = new Set(ordered.map((stage) => stage.name))
  const forest = stepForest(steps)
  const nodes = ordered.map((stage, at) => ({
    stage,
    // A stage entered twice has two rows of one name: the steps are shown once, under the first.
    steps:
      ordered.findIndex((each) => each.name === stage.name) === at
        ? forest.filter((node) => node.step.stage === stage.name)
        : [],
    units: stage.units ?? [],
  }))
  return { nodes, loose: forest.filter((node) => node.step.stage === null || !names.has(node.step.stage)) }
}

/** Steps nested under their parents, in the order of their index; an unknown parent makes a root. */
export function stepForest(steps: readonly Step[]): StepNode[] {
  const known = new Set(steps.map((step) => step.id))
  const byParent = new Map<string | null, Step[]>()
  for (const step of [...steps].sort((a, b) => a.step_index - b.step_index)) {
    const parent = step.parent_id && step.parent_id !== step.id && known.has(step.parent_id) ? step.parent_id : null
    byParent.set(parent, [...(byParent.get(parent) ?? []), step])
  }
  const build = (parent: string | null): StepNode[] =>
    (byParent.get(parent) ?? []).map((step) => ({ step, children: build(step.id) }))
  return build(null)
}

/** The list with one stage or step replaced or added, by id (a label without one, by name). */
export function upsert<T extends { id: string | null; name?: string }>(list: readonly T[], item: T): T[] {
  const same = (each: T) => (item.id ? each.id === item.id : !each.id && each.name === item.name)
  return list.some(same) ? list.map((each) => (same(each) ? { ...each, ...item } : each)) : [...list, item]
}
