import { asApiError, isAbort, type ApiError } from '../api/client'
import { getTasks, socketUrl } from '../api/routes'
import { LiveSocket, type SocketState } from '../api/socket'
import type { Task, TaskListFrame } from '../api/types'

const PAGE = 60
/** The socket tells when a task's state changes; the counts of those that run are read so often. */
const COUNT_MS = 3_000

/** The list of tasks under one query, kept true by its socket. Running ones first, then newest first. */
export class TaskList {
  #tasks = $state.raw<readonly Task[]>([])
  #next = $state<string | null>(null)
  #loading = $state(true)
  #problem = $state.raw<ApiError | null>(null)
  #connection = $state.raw<SocketState>({ kind: 'closed' })

  private control = new AbortController()
  private socket: LiveSocket<TaskListFrame> | null = null
  private query = new URLSearchParams()
  private timer: ReturnType<typeof setInterval> | undefined

  get tasks(): readonly Task[] {
    return this.#tasks
  }

  get more(): boolean {
    return this.#next !== null
  }

  get loading(): boolean {
    return this.#loading
  }

  get problem(): ApiError | null {
    return this.#problem
  }

  get connection(): SocketState {
    return this.#connection
  }

  async load(query: URLSearchParams): Promise<void> {
    this.stop()
    this.query = query
    const { signal } = (this.control = new AbortController())
    this.#loading = true
    this.connect()
    this.timer = setInterval(() => this.count(), COUNT_MS)
    try {
      const page = await getTasks(withLimit(query), signal)
      this.#tasks = inOrder(page.tasks)
      this.#next = page.next
      this.#problem = null
    } catch (error) {
      if (isAbort(error)) return
      this.#problem = asApiError(error)
    }
    this.#loading = false
  }

  async loadMore(): Promise<void> {
    if (!this.#next) return
    const query = withLimit(this.query)
    query.set('cursor', this.#next)
    try {
      const page = await getTasks(query, this.control.signal)
      this.#next = page.next
      this.put(page.tasks)
    } catch (error) {
      if (!isAbort(error)) this.#problem = asApiError(error)
    }
  }

  put(changed: readonly Task[]): void {
    const byId = new Map(this.#tasks.map((task) => [task.id, task]))
    for (const task of changed) byId.set(task.id, task)
    this.#tasks = inOrder([...byId.values()])
  }

  drop(ids: readonly string[]): void {
    this.#tasks = this.#tasks.filter((task) => !ids.includes(task.id))
  }

  stop(): void {
    this.control.abort()
    clearInterval(this.timer)
    this.socket?.close()
    this.socket = null
  }

  private count(): void {
    if (document.visibilityState === 'visible' && this.#tasks.some(isActive)) void this.reload(true)
  }

  private connect(): void {
    let lost = false
    const socket = new LiveSocket<TaskListFrame>({
      url: () => socketUrl(document.baseURI, 'ws/tasks', this.query),
      frame: (frame) => (frame.type === 'tasks' ? this.put(frame.tasks) : this.drop(frame.ids)),
      state: (state) => {
        this.#connection = state
        if (state.kind === 'waiting') lost = true
        // What changed while the connection was lost is in the list, not in the socket.
        if (state.kind === 'live' && lost) {
          lost = false
          void this.reload()
        }
      },
    })
    this.socket = socket
    socket.connect()
  }

  /** The first page anew, in place of all that is shown or, with `merge`, into it. */
  private async reload(merge = false): Promise<void> {
    try {
      const page = await getTasks(withLimit(this.query), this.control.signal)
      if (merge) this.put(page.tasks)
      else {
        this.#tasks = inOrder(page.tasks)
        this.#next = page.next
      }
      this.#problem = null
    } catch (error) {
      if (!isAbort(error)) this.#problem = asApiError(error)
    }
  }
}

function withLimit(query: URLSearchParams): URLSearchParams {
  const copy = new URLSearchParams(query)
  copy.set('limit', String(PAGE))
  return copy
}

function inOrder(tasks: readonly Task[]): Task[] {
  return [...tasks].sort(
    (a, b) => Number(isActive(b)) - Number(isActive(a)) || b.created_at.localeCompare(a.created_at),
  )
}

function isActive(task: Task): boolean {
  return task.status === 'running' || task.status === 'pending'
}
