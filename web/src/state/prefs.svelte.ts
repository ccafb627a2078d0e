import { MediaQuery } from 'svelte/reactivity'
import type { TimeMode } from '../log/format'

export type Theme = 'system' | 'light' | 'dark'

const dark = new MediaQuery('prefers-color-scheme: dark')

export interface SavedFilter {
  readonly name: string
  /** The filter as the page's address says it. */
  readonly query: string
}

const KEY = 'asynclog'
const TIME_MODES: readonly TimeMode[] = ['utc', 'local', 'relative']
const THEMES: readonly Theme[] = ['system', 'light', 'dark']

interface Stored {
  theme: Theme
  time: TimeMode
  wrap: boolean
  tree: boolean
  saved: SavedFilter[]
}

/** What one chose for this browser. Kept in its storage where that is allowed, else for as long as the page lives. */
class Preferences {
  #values = $state<Stored>(load())

  constructor() {
    show(this.#values.theme)
    // Another window of this browser chose something: with what it had then, this one would take it back.
    addEventListener('storage', ({ key }) => {
      if (key !== KEY && key !== null) return
      this.#values = load()
      show(this.#values.theme)
    })
  }

  get theme(): Theme {
    return this.#values.theme
  }

  /** The colours in use: those chosen, or the system's as they are now. */
  get colours(): 'light' | 'dark' {
    if (this.theme !== 'system') return this.theme
    return dark.current ? 'dark' : 'light'
  }

  get time(): TimeMode {
    return this.#values.time
  }

  get wrap(): boolean {
    return this.#values.wrap
  }

  get tree(): boolean {
    return this.#values.tree
  }

  get saved(): readonly SavedFilter[] {
    return this.#values.saved
  }

  setTheme(theme: Theme): void {
    show(theme)
    this.set({ theme })
  }

  nextTheme(): void {
    this.setTheme(after(THEMES, this.theme))
  }

  nextTime(): void {
    this.set({ time: after(TIME_MODES, this.time) })
  }

  setTime(time: TimeMode): void {
    this.set({ time })
  }

  toggleWrap(): void {
    this.set({ wrap: !this.wrap })
  }

  toggleTree(): void {
    this.set({ tree: !this.tree })
  }

  saveFilter(name: string, query: string): void {
    this.set({ saved: [...this.saved.filter((each) => each.name !== name), { name, query }] })
  }

  forgetFilter(name: string): void {
    this.set({ saved: this.saved.filter((each) => each.name !== name) })
  }

  private set(change: Partial<Stored>): void {
    Object.assign(this.#values, change)
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#values))
    } catch {
      // Private windows may refuse storage: the choice then lasts as long as the page.
    }
  }
}

function load(): Stored {
  // On a narrow screen the rows come first, and a row that is cut off tells nothing.
  const fallback: Stored = { theme: 'system', time: 'utc', wrap: innerWidth < 640, tree: innerWidth > 860, saved: [] }
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Stored>
    return {
      theme: THEMES.find((theme) => theme === found.theme) ?? fallback.theme,
      time: TIME_MODES.find((mode) => mode === found.time) ?? fallback.time,
      wrap: typeof found.wrap === 'boolean' ? found.wrap : fallback.wrap,
      tree: typeof found.tree === 'boolean' ? found.tree : fallback.tree,
      saved: Array.isArray(found.saved)
        ? found.saved.filter((each) => each?.name && typeof each.query === 'string')
        : [],
    }
  } catch {
    return fallback
  }
}

function show(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

function after<T>(options: readonly T[], current: T): T {
  return options[(options.indexOf(current) + 1) % options.length]!
}

export const prefs = new Preferences()
