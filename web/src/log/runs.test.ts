import { describe, expect, test } from 'vitest'
import type { Task } from '../api/types'
import { compare as compareWith, isSame, sameQuery } from './runs'

let made = 0
function run(status: Task['status'], more: Partial<Task> = {}): Task {
  made += 1
  const known = {
    id: `t${made}`,
    name: 'nightly',
    plugin: 'backup',
    account: null,
    site: null,
    params: {},
    duration: 10,
  }
  return { ...known, status, finished_at: status === 'running' ? null : 'then', ...more } as Task
}

const compare = (task: Task, runs: readonly Task[]) => compareWith(task, { runs, more: false, olderGood: null })

describe('a failed run', () => {
  test('is told the last good one, and since when it fails', () => {
    const [first, good] = [run('failed'), run('success')]
    const found = compare(run('failed'), [run('failed'), run('cancelled'), first, good, run('failed'), run('success')])
    expect(found.lastGood).toBe(good)
    expect(found.failures).toBe(2)
    expect(found.failingSince).toBe(first)
  })

  test('fails since itself where the one before it succeeded', () => {
    const task = run('failed')
    expect(compare(task, [run('success'), run('failed')])).toMatchObject({ failures: 0, failingSince: task })
  })

  test('has no last good one where none succeeded', () => {
    expect(compare(run('interrupted'), [run('failed')])).toMatchObject({ lastGood: null, failures: 1, changed: [] })
  })

  test('is told that it may fail for longer where older runs were not read, and the last good one of those', () => {
    const [olderGood, first] = [run('success', { params: { level: 1 } }), run('failed')]
    const read = { runs: [run('failed'), first], more: true, olderGood }
    expect(compareWith(run('failed'), read)).toMatchObject({ failures: 2, failingSince: first, orLonger: true })
    expect(compareWith(run('failed'), read)).toMatchObject({ lastGood: olderGood, changed: [{ name: 'level' }] })
    const known = { ...read, runs: [first, run('success')] }
    expect(compareWith(run('failed'), known)).toMatchObject({ failures: 1, orLonger: false })
    expect(compareWith(run('success'), read).orLonger).toBe(false)
  })

  test('is told which parameters differ from the last good one', () => {
    const good = run('success', { params: { level: 6, folder: '/a', old: true } })
    const task = run('failed', { params: { level: 9, folder: '/a', fresh: [1] } })
    expect(compare(task, [good]).changed).toEqual([
      { name: 'level', before: 6, now: 9 },
      { name: 'old', before: true, now: undefined },
      { name: 'fresh', before: undefined, now: [1] },
    ])
  })
})

test('a run that did not fail has no failures in a row', () => {
  expect(compare(run('success'), [run('failed')])).toMatchObject({ failures: 0, failingSince: null })
})

test('how long it usually takes is the median of the successes, whatever the clock did', () => {
  const took = (duration: number | null) => run('success', { duration })
  expect(compare(run('running'), [took(3), took(-9), took(1), took(2), run('failed', { duration: 99 })]).usual).toBe(2)
  expect(compare(run('running'), []).usual).toBeNull()
})

test('the same thing is the plugin under the same name, for the same account and site', () => {
  const task = run('failed', { account: 'a', site: 's' })
  expect(isSame(task, run('success', { account: 'a', site: 's' }))).toBe(true)
  expect(isSame(task, run('success', { account: 'b', site: 's' }))).toBe(false)
  expect(isSame(task, run('success', { account: 'a', site: 's', name: 'weekly' }))).toBe(false)
  expect(sameQuery(task).toString()).toBe('plugin=backup&text=nightly&account=a&site=s')
  expect(sameQuery(run('failed', { name: 'backup' })).toString()).toBe('plugin=backup')
})
