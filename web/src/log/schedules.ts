/** When a schedule fires, in words and as people enter it. */
export interface Timing {
  cron: string | null
  interval: number | null
  time_zone: string
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const

export function timingText({ cron, interval, time_zone }: Timing): string {
  if (interval === null) return `${cronText(cron ?? '')} (${time_zone})`
  const [letter, seconds] = UNITS.find(([, size]) => interval >= size && interval % size === 0) ?? ['s', 1]
  return `every ${interval / seconds} ${letter}`
}

const DAYS = ['Sundays', 'Mondays', 'Tuesdays', 'Wednesdays', 'Thursdays', 'Fridays', 'Saturdays']

/** What fires once an hour, a day or a week in words; everything else as it is written. */
function cronText(cron: string): string {
  const [minute = '', hour = '', day, month, weekday = ''] = cron.trim().split(/\s+/)
  if (day !== '*' || month !== '*' || !isWithin(minute, 59)) return cron
  if (hour === '*') return weekday === '*' ? `hourly at :${minute.padStart(2, '0')}` : cron
  if (!isWithin(hour, 23)) return cron
  const days = weekday === '*' ? 'daily' : weekday === '1-5' ? 'Monday to Friday' : dayName(weekday)
  return days ? `${days} at ${hour.padStart(2, '0')}:${minute.padStart(2, '0')}` : cron
}

function isWithin(text: string, last: number): boolean {
  return /^\d{1,2}$/.test(text) && Number(text) <= last
}

/** Sunday is 0 and 7. */
function dayName(weekday: string): string | undefined {
  return /^[0-7]$/.test(weekday) ? DAYS[Number(weekday) % 7] : undefined
}

/** "15m", "1.5 h", "90" (seconds) as seconds. Throws a sentence for a person. */
export function readInterval(text: string): number {
  const [, number, letter] = /^(\d+(?:\.\d+)?)\s*([smhd]?)$/.exec(text.trim().toLowerCase()) ?? []
  const size = UNITS.find(([unit]) => unit === (letter || 's'))![1]
  const seconds = Number(number) * size
  if (!(seconds >= 1)) throw new Error('The interval is a number and s, m, h or d: 15m. It is at least a second.')
  return seconds
}
