/** What is kept of a task's parameters is not always what it was given: secrets are hidden, large values cut. */

const HIDDEN =
  /\[redacted\]|… \[\d+ bytes cut\] …|\[left out: too much text\]|\[deeper than \d+ levels\]|"… (?:\d+ )?more"/

export type Kept = 'whole' | 'in part' | 'not'

/** Whether a task can be given again what is kept of its parameters. */
export function keptOf(params: unknown): Kept {
  if (params !== null && typeof params === 'object' && '_truncated' in params) return 'not'
  return HIDDEN.test(JSON.stringify(params ?? null)) ? 'in part' : 'whole'
}
