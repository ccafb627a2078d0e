/** Where in the page one is: everything after `#` in the address. The server only ever sees `/`. */
export type Route =
  | { view: 'tasks'; query: URLSearchParams }
  | { view: 'task'; id: string; query: URLSearchParams }
  | { view: 'logs'; query: URLSearchParams }
  | { view: 'plugins'; query: URLSearchParams }
  | { view: 'schedules'; query: URLSearchParams }
  | { view: 'keys'; query: URLSearchParams }
  | { view: 'settings'; query: URLSearchParams }
  | { view: 'unknown'; path: string; query: URLSearchParams }

const PAGES = ['tasks', 'logs', 'plugins', 'schedules', 'keys', 'settings'] as const

export function parseHash(hash: string): Route {
  const text = hash.replace(/^#/, '')
  const mark = text.indexOf('?')
  const path = mark < 0 ? text : text.slice(0, mark)
  const query = new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1))
  const parts = path.split('/').filter(Boolean)
  const [first, second] = parts
  if (first === undefined) return { view: 'tasks', query }
  if (first === 'tasks' && second !== undefined && parts.length === 2)
    return { view: 'task', id: decode(second), query }
  const page = PAGES.find((name) => name === first)
  if (page && parts.length === 1) return { view: page, query }
  return { view: 'unknown', path, query }
}

export function taskHref(id: string, query?: URLSearchParams): string {
  return hrefOf(`/tasks/${encodeURIComponent(id)}`, query)
}

export function hrefOf(path: string, query?: URLSearchParams): string {
  const text = query?.toString()
  return text ? `#${path}?${text}` : `#${path}`
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
