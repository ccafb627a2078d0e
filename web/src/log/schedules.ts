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
  if (interval === null) return `${cron ?? ''} (${time_zone})`
  const [letter, seconds] = UNITS.find(([, size]) => interval >= size && interval % size === 0) ?? ['s', 1]
  return `every ${interval / seconds} ${letter}`
}

/** "15m", "1.5 h", "90" (seconds) as seconds. Throws a sentence for a person. */
export function readInterval(text: string): number {
  const [, number, letter] = /^(\d+(?:\.\d+)?)\s*([smhd]?)$/.exec(text.trim().toLowerCase()) ?? []
  const size = UNITS.find(([unit]) => unit === (letter || 's'))![1]
  const seconds = Number(number) * size
  if (!(seconds >= 1)) throw new Error('The interval is a number and s, m, h or d: 15m. It is at least a second.')
  return seconds
}
