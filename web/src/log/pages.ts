/**
 * Pages already fetched, least recently used first out, bounded in pages and bytes. Entries never change and are only
 * ever appended, so a full page (one that did not end at the task's end) stays true for as long as it is held.
 */
export class PageCache<P> {
  private readonly held = new Map<string, { page: P; bytes: number }>()
  private bytes = 0

  constructor(
    private readonly maxPages = 40,
    private readonly maxBytes = 24 * 1024 * 1024,
  ) {}

  get(key: string): P | undefined {
    const found = this.held.get(key)
    if (!found) return undefined
    this.held.delete(key)
    this.held.set(key, found)
    return found.page
  }

  put(key: string, page: P, bytes: number): void {
    this.remove(key)
    if (bytes > this.maxBytes) return
    this.held.set(key, { page, bytes })
    this.bytes += bytes
    for (const oldest of this.held.keys()) {
      if (this.held.size <= this.maxPages && this.bytes <= this.maxBytes) break
      this.remove(oldest)
    }
  }

  clear(): void {
    this.held.clear()
    this.bytes = 0
  }

  get size(): number {
    return this.held.size
  }

  private remove(key: string): void {
    const found = this.held.get(key)
    if (!found) return
    this.held.delete(key)
    this.bytes -= found.bytes
  }
}
