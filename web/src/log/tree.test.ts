import { expect, test } from 'vitest'
import type { Stage, Step } from '../api/types'
import { keepEnded, stageTree, stepForest, upsert, withoutCounts } from './tree'

const stage = (name: string, number: number | null, id: string | null = name): Stage =>
  ({ id, number, name, status: 'success', result: null }) as Stage
const step = (id: string, index: number, inStage: string | null, parent: string | null = null): Step =>
  ({ id, step_index: index, stage: inStage, parent_id: parent }) as Step

test('numbered stages come in order, labels after them, and steps without a known stage last', () => {
  const { nodes, loose } = stageTree(
    [stage('label', null, null), stage('b', 2), stage('a', 1)],
    [step('2', 2, 'a'), step('1', 1, 'a'), step('x', 3, null), step('y', 4, 'elsewhere')],
  )
  expect(nodes.map((node) => node.stage.name)).toEqual(['a', 'b', 'label'])
  expect(nodes[0]?.steps.map((node) => node.step.id)).toEqual(['1', '2'])
  expect(loose.map((node) => node.step.id)).toEqual(['x', 'y'])
})

test('steps nest by parent; an unknown or own parent makes a root instead of a loss', () => {
  const forest = stepForest([
    step('c', 2, null, 'p'),
    step('p', 1, null),
    step('o', 3, null, 'gone'),
    step('s', 4, null, 's'),
  ])
  expect(forest.map((node) => node.step.id)).toEqual(['p', 'o', 's'])
  expect(forest[0]?.children.map((node) => node.step.id)).toEqual(['c'])
})

test('twenty thousand steps beside each other, and in as many stages, are put in order in a moment', () => {
  const many = Array.from({ length: 20_000 }, (_, at) => step(`s${at}`, at, `stage ${at}`))
  const { nodes, loose } = stageTree(
    many.map(({ stage: name }, at) => stage(name as string, at)),
    many,
  )
  expect(nodes.map((node) => node.steps[0]?.step.id)).toEqual(many.map(({ id }) => id))
  expect(loose).toEqual([])
})

test('an update keeps what it does not name and its place; a new one goes to the end', () => {
  const list = [{ ...stage('a', 1), log_count: 7 }, stage('b', 2)]
  const updated = upsert(list, { ...stage('a', 1), status: 'error' } as Stage)
  expect(updated[0]).toMatchObject({ status: 'error', log_count: 7 })
  expect(upsert(list, stage('c', 3)).at(-1)?.name).toBe('c')
})

test('a stage told by its socket keeps the counts known before, for there they are always 0', () => {
  const told: Stage = { ...stage('a', 1), status: 'success', log_count: 0, units: [] }
  const known = { ...stage('a', 1), log_count: 7, units: [{ unit: 'u', log_count: 3 }] }
  expect(upsert([known], told, withoutCounts(told))).toEqual([{ ...known, status: 'success' }])
  expect(upsert([], told, withoutCounts(told))).toEqual([told])
})

test('a step that is known to have ended does not run again because an older answer came late', () => {
  const at = (id: string, finished_at: string | null) => ({ ...step(id, 1, null), finished_at }) as Step
  const [running, ended] = [at('a', null), at('a', 'then')]
  expect(keepEnded([ended, at('b', null)], [running, at('b', 'then'), at('c', null)])).toEqual([
    ended,
    at('b', 'then'),
    at('c', null),
  ])
})
