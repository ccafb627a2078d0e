import { toQuery, type LogFilter } from '../log/filter'
import { call } from './client'
import type {
  Bucket,
  Histogram,
  Keys,
  LoggingChange,
  LoggingSettings,
  LogPage,
  LogStats,
  MadeKey,
  NewKey,
  NewSchedule,
  Plugins,
  PluginStats,
  Schedule,
  Schedules,
  SearchPage,
  Session,
  Stages,
  StartTask,
  Step,
  Steps,
  Task,
  TaskPage,
} from './types'

/** The service's routes, one function each. All reject with ApiError, or AbortError when the signal says so. */

const task = (id: string) => `api/tasks/${encodeURIComponent(id)}`

export interface PageQuery {
  after?: number
  before?: number
  order?: 'asc' | 'desc'
  limit: number
  total?: boolean
}

export const getPlugins = (signal?: AbortSignal) =>
  call<Plugins>('GET', 'api/plugins', { signal }).then((answer) => answer.plugins)

export const getPluginStats = (name: string, signal?: AbortSignal) =>
  call<PluginStats>('GET', `api/plugins/${encodeURIComponent(name)}/stats`, { signal })

export const getTasks = (query: URLSearchParams, signal?: AbortSignal) =>
  call<TaskPage>('GET', 'api/tasks', { query, signal })

export const getTask = (id: string, signal?: AbortSignal) => call<Task>('GET', task(id), { signal })

export const startTask = (body: StartTask) => call<Task>('POST', 'api/tasks', { body })

export const cancelTask = (id: string) => call<Task>('POST', `${task(id)}/cancel`)

export const deleteTask = (id: string) => call<null>('DELETE', task(id))

export function getLogs(id: string, filter: LogFilter, page: PageQuery, signal?: AbortSignal): Promise<LogPage> {
  const query = toQuery(filter)
  query.set('limit', String(page.limit))
  if (page.after !== undefined) query.set('after', String(page.after))
  if (page.before !== undefined) query.set('before', String(page.before))
  if (page.order) query.set('order', page.order)
  if (!page.total) query.set('total', 'false')
  return call<LogPage>('GET', `${task(id)}/logs`, { query, signal })
}

export const getLogStats = (id: string, filter: LogFilter, signal?: AbortSignal) =>
  call<LogStats>('GET', `${task(id)}/logs/stats`, { query: toQuery(filter), signal })

export function getHistogram(id: string, filter: LogFilter, buckets: number, signal?: AbortSignal): Promise<Bucket[]> {
  const query = toQuery(filter)
  query.set('buckets', String(buckets))
  return call<Histogram>('GET', `${task(id)}/logs/histogram`, { query, signal }).then((answer) => answer.buckets)
}

export const getStages = (id: string, signal?: AbortSignal) =>
  call<Stages>('GET', `${task(id)}/stages`, { signal }).then((answer) => answer.stages)

export function getSteps(id: string, limit: number, after: string | null, signal?: AbortSignal): Promise<Steps> {
  const query = new URLSearchParams({ limit: String(limit), ...(after === null ? {} : { after }) })
  return call<Steps>('GET', `${task(id)}/steps`, { query, signal })
}

export const getStep = (id: string, step: string, signal?: AbortSignal) =>
  call<Step>('GET', `${task(id)}/steps/${encodeURIComponent(step)}`, { signal })

/** Entries across tasks, newest first unless the query says otherwise. */
export const getCrossLogs = (query: URLSearchParams, signal?: AbortSignal) =>
  call<SearchPage>('GET', 'api/logs', { query, signal })

export const getSchedules = (signal?: AbortSignal) =>
  call<Schedules>('GET', 'api/schedules', { signal }).then((answer) => answer.schedules)

export const makeSchedule = (body: NewSchedule) => call<Schedule>('POST', 'api/schedules', { body })

const schedule = (id: string) => `api/schedules/${encodeURIComponent(id)}`

export const pauseSchedule = (id: string, paused: boolean) =>
  call<Schedule>('PATCH', schedule(id), { body: { paused } })

export const removeSchedule = (id: string) => call<null>('DELETE', schedule(id))

/** Starts its plugin now, whenever it is due next. */
export const runSchedule = (id: string) => call<Task>('POST', `${schedule(id)}/run`)

export const getSession = (signal?: AbortSignal) => call<Session>('GET', 'api/session', { signal })

/** The browser gets a session that scripts cannot read; the key itself is not kept. */
export const signIn = (key: string) => call<Session>('POST', 'api/session', { body: { key } })

export const signOut = () => call<null>('DELETE', 'api/session')

export const getKeys = (signal?: AbortSignal) => call<Keys>('GET', 'api/keys', { signal }).then((answer) => answer.keys)

/** The answer holds the key's text, this once. */
export const makeKey = (body: NewKey) => call<MadeKey>('POST', 'api/keys', { body })

export const revokeKey = (id: string) => call<null>('DELETE', `api/keys/${encodeURIComponent(id)}`)

export const getSettings = (signal?: AbortSignal) => call<LoggingSettings>('GET', 'api/settings/logging', { signal })

export const putSettings = (changes: LoggingChange) =>
  call<LoggingSettings>('PUT', 'api/settings/logging', { body: changes })

/** The address a download link points at: everything, or what the filter keeps. */
export function exportHref(id: string, format: 'text' | 'ndjson' | 'csv', filter: LogFilter | null): string {
  const query = filter ? toQuery(filter) : new URLSearchParams()
  query.set('format', format)
  return `${task(id)}/logs/export?${query}`
}

export function taskSocketUrl(base: string, id: string, filter: LogFilter, after: number): string {
  const query = toQuery(filter)
  query.set('after', String(after))
  return socketUrl(base, `ws/tasks/${encodeURIComponent(id)}/logs`, query)
}

/** `base` is the page's own address: the socket lives beside it. */
export function socketUrl(base: string, path: string, query: URLSearchParams): string {
  const url = new URL(path, base)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  url.search = query.toString()
  url.hash = ''
  return url.toString()
}
