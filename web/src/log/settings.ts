import type { LoggingSettings } from '../api/types'
import { count, duration, size } from './format'

export type SettingName = Exclude<keyof LoggingSettings, 'pinned'>
type Value = LoggingSettings[SettingName]

export interface SettingField {
  readonly name: SettingName
  readonly label: string
  readonly kind: 'level' | 'switch' | 'number' | 'whole'
  readonly unit?: string
  readonly help: string
}

/** What the settings page shows, in order. */
export const SECTIONS: readonly { title: string; fields: readonly SettingField[] }[] = [
  {
    title: 'Levels',
    fields: [
      {
        name: 'task_log_level',
        label: 'Task log level',
        kind: 'level',
        help: 'Entries of tasks below this level are not kept. Those already stored stay.',
      },
      {
        name: 'log_level',
        label: "The service's own level",
        kind: 'level',
        help: 'What the service itself writes to its standard error.',
      },
      {
        name: 'belief_scope_enabled',
        label: 'Belief scopes',
        kind: 'switch',
        help: 'Entry, Coherence and Exit of a belief scope, at DEBUG: they need the task log level DEBUG as well.',
      },
    ],
  },
  {
    title: 'Storing',
    fields: [
      {
        name: 'flush_interval',
        label: 'Flush interval',
        kind: 'number',
        unit: 'seconds',
        help: 'How long entries may wait before they are stored together. A crash loses none of them either way.',
      },
      {
        name: 'message_limit',
        label: 'Message limit',
        kind: 'whole',
        unit: 'bytes',
        help: 'Longer messages keep their head and tail. 0 for no limit.',
      },
      {
        name: 'search_index',
        label: 'Search index',
        kind: 'switch',
        help: 'Off: it is removed, and searches and filters read all entries. Their answers are the same.',
      },
    ],
  },
  {
    title: 'Steps',
    fields: [
      {
        name: 'capture_enabled',
        label: 'Record steps',
        kind: 'switch',
        help: 'Off: no step rows and no captured data; stages, tasks and logs go on.',
      },
      { name: 'capture_inputs', label: 'Capture inputs', kind: 'switch', help: 'What a step was given.' },
      { name: 'capture_outputs', label: 'Capture outputs', kind: 'switch', help: 'What a step gave back.' },
      {
        name: 'max_data_size',
        label: 'Captured data limit',
        kind: 'whole',
        unit: 'bytes',
        help: 'Larger inputs and outputs are cut.',
      },
    ],
  },
  {
    title: 'Retention',
    fields: [
      {
        name: 'retention_days',
        label: 'Keep tasks for',
        kind: 'number',
        unit: 'days',
        help: 'Finished tasks older than this are removed with all their entries. 0 keeps them.',
      },
      {
        name: 'retention_max_tasks',
        label: 'Keep at most',
        kind: 'whole',
        unit: 'tasks',
        help: 'Of each plugin in an account and site; the oldest finished tasks above this number are removed. 0 for no limit.',
      },
    ],
  },
]

const FIELDS = SECTIONS.flatMap((section) => section.fields)

/** A setting as its input shows it. */
export function textOf(value: Value): string {
  return String(value)
}

/** What differs from the stored settings, and what cannot be read, by name. */
export function changesOf(
  stored: LoggingSettings,
  texts: Record<string, string>,
): { values: Partial<LoggingSettings>; problems: Record<string, string> } {
  const values: Record<string, Value> = {}
  const problems: Record<string, string> = {}
  for (const field of FIELDS) {
    const text = texts[field.name]
    if (text === undefined || !(field.name in stored) || stored.pinned.includes(field.name)) continue
    const value = read(field, text.trim())
    if (value === undefined)
      problems[field.name] = `This has to be a ${field.kind === 'whole' ? 'whole number' : 'number'}, 0 or more.`
    else if (value !== stored[field.name]) values[field.name] = value
  }
  return { values: values as Partial<LoggingSettings>, problems }
}

/** What applying the changes will do, one sentence each. */
export function describe(stored: LoggingSettings, changes: Partial<LoggingSettings>): string[] {
  return FIELDS.filter((field) => field.name in changes).map((field) => {
    const [from, to] = [say(field, stored[field.name]), say(field, changes[field.name] as Value)]
    return `${field.label}: ${from} → ${to}. ${consequence(field.name, stored, changes)}`.trim()
  })
}

function read(field: SettingField, text: string): Value | undefined {
  if (field.kind === 'level') return text as Value
  if (field.kind === 'switch') return text === 'true'
  if (text === '') return undefined
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) return undefined
  return field.kind === 'whole' && !Number.isInteger(value) ? undefined : value
}

function say(field: SettingField, value: Value): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value !== 'number') return value
  if (field.name === 'flush_interval') return duration(value)
  if (value === 0 && ['message_limit', 'retention_days', 'retention_max_tasks'].includes(field.name)) return 'no limit'
  return field.unit === 'bytes' ? size(value) : `${count(value)} ${field.unit}`
}

function consequence(name: SettingName, stored: LoggingSettings, changes: Partial<LoggingSettings>): string {
  const next = { ...stored, ...changes }
  switch (name) {
    case 'task_log_level':
      return next.task_log_level === 'DEBUG'
        ? 'Tasks keep everything from now on.'
        : `From now on tasks keep ${next.task_log_level} and above.`
    case 'belief_scope_enabled':
      if (!next.belief_scope_enabled) return 'Scopes log nothing from now on.'
      return next.task_log_level === 'DEBUG'
        ? 'Scopes log their entry and exit from now on.'
        : 'They show only with the task log level DEBUG.'
    case 'capture_enabled':
      return next.capture_enabled
        ? 'Steps that start from now on are recorded.'
        : 'Steps that start from now on are not recorded.'
    case 'search_index':
      return next.search_index ? 'It is built in the background.' : 'It is removed in the background.'
    case 'retention_days':
    case 'retention_max_tasks':
      return 'The next clean-up follows it; running tasks are never removed.'
    default:
      return ''
  }
}
