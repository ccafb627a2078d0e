import { asApiError, isAbort, type ApiError } from '../api/client'
import { getTasks, socketUrl } from '../api/routes'
import { LiveSocket, type SocketState } from '../api/socket'
import type { Task, TaskListFrame, TaskPage } from '../api/types'
import { ticker } from './clock.svelte'

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
  private sleeper: (() => void) | undefined
  /** What the socket told while answers were on their way: they may have been read before it. Null is a removal. */
  private readonly meanwhile = new Map<string, Task | null>()
  private asked = 0

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
    this.sleeper = ticker.onWake(() => {
      this.socket?.wake()
      void this.reload()
    })
    await this.reload()
    if (!signal.aborted) this.#loading = false
  }

  async loadMore(): Promise<void> {
    if (!this.#next) return
    const query = withLimit(this.query)
    query.set('cursor', this.#next)
    try {
      const page = await this.ask(query)
      this.#next = page.next
      this.take([...this.#tasks, ...page.tasks])
    } catch (error) {
      if (!isAbort(error)) this.#problem = asApiError(error)
    }
  }

  stop(): void {
    this.control.abort()
    clearInterval(this.timer)
    this.sleeper?.()
    this.socket?.close()
    this.socket = null
    this.meanwhile.clear()
  }

  private count(): void {
    if (document.visibilityState === 'visible' && this.#tasks.some(isActive)) void this.reload(true)
  }

  private connect(): void {
    let lost = false
    const socket = new LiveSocket<TaskListFrame>({
      url: () => socketUrl(document.baseURI, 'ws/tasks', this.query),
      frame: (frame) => this.receive(frame),
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

  private receive(frame: TaskListFrame): void {
    const changes: [string, Task | null][] =
      frame.type === 'tasks' ? frame.tasks.map((task) => [task.id, task]) : frame.ids.map((id) => [id, null])
    if (this.asked) for (const [id, task] of changes) this.meanwhile.set(id, task)
    this.#tasks = changed(this.#tasks, new Map(changes))
  }

  private async ask(query: URLSearchParams): Promise<TaskPage> {
    const { signal } = this.control
    this.asked += 1
    try {
      const page = await getTasks(query, signal)
      signal.throwIfAborted()
      return { ...page, tasks: changed(page.tasks, this.meanwhile) }
    } finally {
      this.asked -= 1
      if (!this.asked) this.meanwhile.clear()
    }
  }

  /** Later ones of the same id take the place of earlier ones. */
  private take(tasks: readonly Task[]): void {
    this.#tasks = inOrder([...new Map(tasks.map((task) => [task.id, task])).values()])
  }

  /** The first page anew, in place of all that is shown or, with `merge`, into it. */
  private async reload(merge = false): Promise<void> {
    try {
      const page = await this.ask(withLimit(this.query))
      this.take(merge ? [...this.#tasks, ...page.tasks] : page.tasks)
      if (!merge) this.#next = page.next
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

/** The tasks with the changes made to them: new ones added, removed ones (null) left out. */
function changed(tasks: readonly Task[], changes: ReadonlyMap<string, Task | null>): Task[] {
  const byId = new Map(tasks.map((task) => [task.id, task]))
  for (const [id, task] of changes) {
    if (task) byId.set(id, task)
    else byId.delete(id)
  }
  return inOrder([...byId.values()])
}

function inOrder(tasks: readonly Task[]): Task[] {
  return [...tasks].sort(
    (a, b) => Number(isActive(b)) - Number(isActive(a)) || b.created_at.localeCompare(a.created_at),
  )
}

function isActive(task: Task): boolean {
  return task.status === 'running' || task.status === 'pending'
}
