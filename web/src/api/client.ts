/**
 * A request that did not succeed. `status` is 0 when the service could not be reached at all; `detail` is a sentence
 * for a person, the service's own where it gave one.
 */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail || title)
    this.name = 'ApiError'
  }

  get unreachable(): boolean {
    return this.status === 0
  }
}

export interface CallOptions {
  query?: URLSearchParams
  body?: unknown
  signal?: AbortSignal
}

let lost: () => void = () => undefined

/** Whom to tell when the service asks for a key: at the start, after the session's end, or when its key was revoked. */
export function onUnauthorized(listener: () => void): void {
  lost = listener
}

export function unauthorized(): void {
  lost()
}

type AnswerListener = (date: string | null, asked: number, came: number) => void
let told: AnswerListener = () => undefined

/** Whom to tell how an answer was dated, and when on this machine it was asked for and came, in milliseconds. */
export function onAnswer(listener: AnswerListener): void {
  told = listener
}

const READING = new Set(['GET', 'HEAD'])

/** One JSON request. Resolves with the answer's body (null for 204), rejects with ApiError or an AbortError. */
export async function call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
  const { query, body, signal } = options
  const address = query && [...query].length ? `${path}?${query}` : path
  let answer: Response
  const asked = Date.now()
  try {
    answer = await fetch(address, {
      method,
      ...(signal && { signal }),
      headers: {
        accept: 'application/json',
        // No page of another origin can send this: the service takes it for the proof that it is us.
        ...(!READING.has(method) && { 'x-asynclog': '1' }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  } catch (error) {
    if (isAbort(error)) throw error
    throw new ApiError(0, 'The service does not answer', 'It may be stopped or restarting, or the network is down.')
  }
  told(answer.headers.get('date'), asked, Date.now())
  if (answer.status === 401) unauthorized()
  if (!answer.ok) throw await problem(answer)
  if (answer.status === 204) return null as T
  return (await answer.json()) as T
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

/** Whatever was thrown, as an ApiError to show. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  return new ApiError(-1, 'The page failed', error instanceof Error ? error.message : String(error))
}

async function problem(answer: Response): Promise<ApiError> {
  let title = answer.statusText || `Status ${answer.status}`
  let detail = ''
  try {
    const body = (await answer.json()) as { title?: unknown; detail?: unknown }
    if (typeof body.title === 'string') title = body.title
    if (typeof body.detail === 'string') detail = body.detail
  } catch {
    // A proxy's own error page: the status line has to do.
  }
  return new ApiError(answer.status, title, detail)
}
