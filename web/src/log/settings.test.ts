import { expect, test } from 'vitest'
import type { LoggingSettings } from '../api/types'
import { changesOf, describe, SECTIONS, textOf } from './settings'

const stored: LoggingSettings = {
  log_level: 'INFO',
  task_log_level: 'INFO',
  belief_scope_enabled: false,
  flush_interval: 2,
  message_limit: 1048576,
  search_index: true,
  capture_enabled: true,
  capture_inputs: true,
  capture_outputs: true,
  max_data_size: 65536,
  retention_days: 30,
  retention_max_tasks: 0,
  pinned: ['flush_interval'],
}
const texts = () =>
  Object.fromEntries(
    SECTIONS.flatMap((section) => section.fields.map((field) => [field.name, textOf(stored[field.name])])),
  )

test('untouched inputs change nothing, and a pinned setting is never sent', () => {
  expect(changesOf(stored, texts())).toEqual({ values: {}, problems: {} })
  expect(changesOf(stored, { ...texts(), flush_interval: '5' }).values).toEqual({})
})

test('only what differs is sent, as its type', () => {
  const changed = {
    ...texts(),
    task_log_level: 'DEBUG',
    belief_scope_enabled: 'true',
    retention_days: '0',
    max_data_size: '1000',
  }
  expect(changesOf(stored, changed).values).toEqual({
    task_log_level: 'DEBUG',
    belief_scope_enabled: true,
    retention_days: 0,
    max_data_size: 1000,
  })
})

test('what is no number is a problem by name', () => {
  expect(
    Object.keys(
      changesOf(stored, { ...texts(), message_limit: '1.5', max_data_size: '', retention_days: '-1' }).problems,
    ),
  ).toEqual(['message_limit', 'max_data_size', 'retention_days'])
})

test('each change says from what to what, and what it will do', () => {
  expect(describe(stored, { task_log_level: 'WARNING', belief_scope_enabled: true, message_limit: 0 })).toEqual([
    'Task log level: INFO → WARNING. From now on tasks keep WARNING and above.',
    'Belief scopes: off → on. They show only with the task log level DEBUG.',
    'Message limit: 1 MB → no limit.',
  ])
})
