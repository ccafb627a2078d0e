import type { Entry, Gap, Session, Stage, Step, Task } from './generated/types.gen'

/**
 * The service's JSON. Its shapes are generated from the service's own description (`make api-types`); here are the
 * names the page gives to parts of them, and the WebSockets' frames, which OpenAPI has no words for.
 */
export type * from './generated/types.gen'

export type Role = Session['role']
export type Level = Entry['level']
/** Entries by level; one that does not occur may be missing. */
export type LevelTotals = Partial<Record<Level, number>>
export type TaskStatus = Task['status']
export type StageStatus = NonNullable<Stage['status']>
export type StepStatus = Step['status']
export type TriggerType = Task['trigger_type']

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
