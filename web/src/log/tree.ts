import type { Stage, Step, UnitCount } from '../api/types'

/** A task's stages with what lies in them: steps, nested by parent, and units with counts. */
export interface StageNode {
  readonly stage: Stage
  readonly steps: readonly StepNode[]
  readonly units: readonly UnitCount[]
}

export interface StepNode {
  readonly step: Step
  readonly children: readonly StepNode[]
}

/** Numbered stages first, in order, then mere labels; steps without a stage of their own come last, under null. */
export function stageTree(stages: readonly Stage[], steps: readonly Step[]): { nodes: StageNode[]; loose: StepNode[] } {
  const ordered = [...stages].sort((a, b) => (a.number ?? Infinity) - (b.number ?? Infinity) || 0)
  const names = new Set(ordered.map((stage) => stage.name))
  const byStage = grouped(stepForest(steps), ({ step: { stage } }) =>
    stage !== null && names.has(stage) ? stage : null,
  )
  const loose = byStage.get(null) ?? []
  const nodes = ordered.map((stage) => {
    const found = byStage.get(stage.name) ?? []
    // A stage entered twice has two rows of one name: the steps are shown once, under the first.
    byStage.delete(stage.name)
    return { stage, steps: found, units: stage.units }
  })
  return { nodes, loose }
}

/** Steps nested under their parents, in the order of their index; an unknown parent makes a root. */
export function stepForest(steps: readonly Step[]): StepNode[] {
  const known = new Set(steps.map((step) => step.id))
  const ordered = [...steps].sort((a, b) => a.step_index - b.step_index)
  const byParent = grouped(ordered, ({ id, parent_id: parent }) =>
    parent && parent !== id && known.has(parent) ? parent : null,
  )
  const build = (parent: string | null): StepNode[] =>
    (byParent.get(parent) ?? []).map((step) => ({ step, children: build(step.id) }))
  return build(null)
}

function grouped<T>(items: readonly T[], key: (item: T) => string | null): Map<string | null, T[]> {
  const groups = new Map<string | null, T[]>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group) group.push(item)
    else groups.set(key(item), [item])
  }
  return groups
}

/**
 * The list with one stage or step added, or changed by a part of it: found by id, a label without one by name.
 */
export function upsert<T extends { id: string | null; name?: string }>(
  list: readonly T[],
  item: T,
  change: Partial<T> = item,
): T[] {
  const same = (each: T) => (item.id ? each.id === item.id : !each.id && each.name === item.name)
  return list.some(same) ? list.map((each) => (same(each) ? { ...each, ...change } : each)) : [...list, item]
}

/** Steps as they were read; those known to have ended stay so, since the answer may be older than what was told since. */
export function keepEnded(known: readonly Step[], read: readonly Step[]): readonly Step[] {
  const ended = new Map(known.filter((step) => step.finished_at).map((step) => [step.id, step]))
  return read.map((step) => (step.finished_at ? step : (ended.get(step.id) ?? step)))
}

/** What changes of a stage when its socket tells of it: there its counts are always 0. */
export function withoutCounts(stage: Stage): Partial<Stage> {
  const change: Partial<Stage> = { ...stage }
  delete change.log_count
  delete change.units
  return change
}
