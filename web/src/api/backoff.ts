/** How long to wait before the next try: doubling from half a second to 15 s, with jitter so that a thousand open pages
 * do not all come back in the same moment. */
export function backoffDelay(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(15_000, 500 * 2 ** Math.min(attempt, 10))
  return Math.round(ceiling / 2 + (ceiling / 2) * random())
}
