/** Numbers, sizes, durations and times as people read them. Nothing here knows the page. */

export type TimeMode = 'utc' | 'local' | 'relative'

/** A number in groups of three, to a thousandth. Not by Intl: loading that takes longer than drawing a page of rows. */
export function count(value: number): string {
  const [whole = '', rest] = String(Math.round(value * 1000) / 1000).split('.')
  return whole.replace(/\B(?=(\d{3})+$)/g, ',') + (rest ? `.${rest}` : '')
}

/** "1 entry", "2 entries". */
export function plural(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** At most three digits and a letter, for narrow places: 999, 1.2k, 18k, 1.2M. */
export function short(value: number): string {
  const units: [number, string][] = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ]
  for (const [size, letter] of units) {
    if (value < size) continue
    const scaled = value / size
    return `${scaled < 10 ? (Math.floor(scaled * 10) / 10).toString() : Math.floor(scaled)}${letter}`
  }
  return String(value)
}

export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–'
  if (seconds > 0 && seconds < 0.001) return '< 1 ms'
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60]
  if (days) return `${days}d ${hours}h`
  if (hours) return `${hours}h ${String(minutes).padStart(2, '0')}m`
  return `${minutes}m ${String(whole % 60).padStart(2, '0')}s`
}

/** Milliseconds since the epoch of a contract timestamp; its microseconds are kept as a fraction. */
export function millis(timestamp: string): number {
  const fraction = /\.\d{3}(\d{1,3})/.exec(timestamp)?.[1]
  return Date.parse(timestamp) + (fraction ? Number(`0.${fraction}`) : 0)
}

export function secondsBetween(from: string | null, to: string | number | null): number | null {
  if (!from || to === null) return null
  return Math.max(0, ((typeof to === 'number' ? to : millis(to)) - millis(from)) / 1000)
}

/** An entry's time of day, with the date before it where `withDate`; relative counts from `origin`. */
export function rowTime(timestamp: string, mode: TimeMode, origin: string | null, withDate = false): string {
  if (mode === 'relative' && origin) return relative((millis(timestamp) - millis(origin)) / 1000)
  if (mode === 'local') return localTime(timestamp, withDate)
  const time = `${timestamp.slice(11, 19)}.${(timestamp.slice(20).replace('Z', '') + '000').slice(0, 3)}`
  return withDate ? `${timestamp.slice(5, 10)} ${time}` : time
}

function relative(seconds: number): string {
  const sign = seconds < 0 ? '-' : '+'
  const total = Math.abs(seconds)
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60]
  const rest = (total % 60).toFixed(3)
  if (hours) return `${sign}${hours}:${pad(minutes)}:${rest.padStart(6, '0')}`
  return minutes ? `${sign}${minutes}:${rest.padStart(6, '0')}` : `${sign}${rest}`
}

function localTime(timestamp: string, withDate: boolean): string {
  const date = new Date(timestamp)
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`
  return withDate ? `${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${time}` : time
}

/** A source for a narrow column: of a long dotted name (a logger's) its last part tells most. */
export function shortSource(source: string): string {
  const last = source.slice(source.lastIndexOf('.') + 1)
  return source.length > 14 && last && last !== source ? `…${last}` : source
}

/** A moment in full, for headers and tooltips. */
export function fullTime(timestamp: string, mode: TimeMode): string {
  if (mode !== 'local') return `${timestamp.slice(0, 10)} ${timestamp.slice(11).replace('Z', '')} UTC`
  const date = new Date(timestamp)
  const offset = -date.getTimezoneOffset()
  const zone = `UTC${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`
  return `${date.getFullYear()}-${localTime(timestamp, true)} ${zone}`
}

/** A moment's time of day for the ends of a chart: as fine as the span it covers asks for. */
export function edgeTime(timestamp: string, mode: TimeMode, spanSeconds: number): string {
  const full = fullTime(timestamp, mode)
  if (spanSeconds > 86_400) return full.slice(0, 16)
  return spanSeconds < 60 ? full.slice(11, 23) : full.slice(11, 19)
}

/** A moment for lists: the time, and the date unless it is the day of `now`. */
export function listTime(timestamp: string, mode: TimeMode, now: number): string {
  if (mode === 'relative') return ago((now - millis(timestamp)) / 1000)
  const [moment, today] = [new Date(timestamp), new Date(now)]
  if (mode === 'local') {
    const same = moment.toDateString() === today.toDateString()
    return localTime(timestamp, !same).slice(0, same ? 8 : 14)
  }
  const same = timestamp.slice(0, 10) === today.toISOString().slice(0, 10)
  return same ? timestamp.slice(11, 19) : `${timestamp.slice(5, 10)} ${timestamp.slice(11, 19)}`
}

export function ago(seconds: number): string {
  if (seconds < 5) return 'just now'
  if (seconds < 60) return `${Math.floor(seconds)} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`
  return `${Math.floor(seconds / 86400)} d ago`
}

function pad(value: number, width = 2): string {
  return String(value).padStart(width, '0')
}
