/** Moments as a `datetime-local` input has them: without a zone, which is what the page shows times in. */

import type { TimeMode } from './format'

/** What the input shows for a moment; '' for none. */
export function toInput(timestamp: string, mode: TimeMode): string {
  const at = Date.parse(timestamp)
  if (Number.isNaN(at)) return ''
  const shift = mode === 'local' ? new Date(at).getTimezoneOffset() * 60_000 : 0
  return new Date(at - shift).toISOString().slice(0, 23)
}

/** The moment an input means, in UTC; '' when it is empty or no time. */
export function fromInput(text: string, mode: TimeMode): string {
  const at = Date.parse(mode === 'local' ? text : `${text}Z`)
  return text && !Number.isNaN(at) ? new Date(at).toISOString() : ''
}
