/** The service's JSON, as its contract names it. Times are ISO-8601 UTC with `Z`, durations seconds. */

export type Level = 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR'
export type LevelCounts = Partial<Record<Level, number>>

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue }
export type JsonObject = { [key: string]: JsonValue }

export interface Entry {
  id: number
  task_id: string
  seq: number
  timestamp: string
  level: Level
  source: string
  stage: string | null
  unit: string | null
  step_id: string | null
  message: string
  metadata: JsonObject | null
}

export type TaskStatus = 'pending' | 'running' | 'success' | 'failed' | 'cancelled' | 'interrupted'
export type TriggerType = 'manual' | 'schedule' | 'webhook' | 'db_change' | 'internal_event' | 'api'

export interface Progress {
  current: number
  total: number | null
  message: string | null
}

export interface Task {
  id: string
  name: string
  plugin: string | null
  account: string | null
  site: string | null
  parent_id: string | null
  schedule_id: string | null
  run_id: string | null
  external: boolean
  trigger_type: TriggerType
  trigger_data: JsonValue
  params: JsonValue
  status: TaskStatus
  cancelling: boolean
  progress: Progress | null
  result: JsonValue
  error_message: string | null
  error_stack: string | null
  created_at: string
  started_at: string | null
  finished_at: string | null
  duration: number | null
  last_seq: number
  counts: LevelCounts
  dropped: number
  sealed: { count: number; last_seq: number } | null
  metadata: JsonObject | null
}

export type StageStatus = 'running' | 'success' | 'error' | 'interrupted'

export interface Stage {
  id: string | null
  number: number | null
  name: string
  status: StageStatus | null
  pending: number | null
  processed: number | null
  credits_used: number | null
  elapsed: number | null
  log_count?: number
  result: JsonValue
  units?: { unit: string; log_count: number }[]
  started_at?: string | null
  finished_at?: string | null
  error_message?: string | null
}

export type StepStatus = 'running' | 'success' | 'error' | 'skipped' | 'interrupted'

export interface Step {
  id: string
  task_id: string
  parent_id: string | null
  step_index: number
  stage: string | null
  unit: string | null
  node_id: string | null
  node_type: string | null
  node_name: string | null
  status: StepStatus
  started_at: string | null
  finished_at: string | null
  duration: number | null
  input_data?: JsonValue
  output_data?: JsonValue
  error_message: string | null
  error_stack: string | null
}

export interface Gap {
  from_seq: number
  to_seq: number
  reason: string
}

export interface LogPage {
  task_id: string
  entries: Entry[]
  total: number | null
  next_after: number | null
  next_before: number | null
  complete: boolean
  gaps: Gap[]
}

export interface CrossPage {
  entries: Entry[]
}

export interface LogStats {
  total: number
  by_level: LevelCounts
  by_source: Record<string, number>
  by_stage: Record<string, number>
}

export interface Bucket {
  start: string
  end: string
  counts: LevelCounts
}

export interface Plugin {
  name: string
  description: string | null
  params_schema?: JsonObject | null
}

export interface PluginStats {
  [key: string]: JsonValue
}

export interface TaskPage {
  tasks: Task[]
  next: string | null
}

export interface LoggingSettings {
  log_level: Level
  task_log_level: Level
  belief_scope_enabled: boolean
  flush_interval: number
  message_limit: number
  capture_enabled: boolean
  capture_inputs: boolean
  capture_outputs: boolean
  max_data_size: number
  retention_days: number
  retention_max_tasks: number
  pinned: string[]
}

export type TaskFrame =
  | { type: 'entries'; entries: Entry[]; through: number }
  | { type: 'task'; task: Task }
  | ({ type: 'gap' } & Gap)
  | { type: 'end'; last_seq: number }
  | { type: 'stage'; stage: Stage }
  | { type: 'step'; step: Step }
  | { type: 'filter'; ref: string }
  | { type: 'error'; ref: string | null; detail: string }

export type TaskListFrame = { type: 'tasks'; tasks: Task[] } | { type: 'removed'; ids: string[] }
