/** The service's own times are whole seconds, and an answer takes a while: less than this is no difference. */
const LEAST_MS = 3_000

/**
 * How far the service's clock is ahead of this machine's, in milliseconds, by the `date` of an answer that was asked
 * for at `asked` and came at `came`; 0 where it cannot be told from none, null where the answer tells nothing.
 */
export function skewOf(date: string | null, asked: number, came: number): number | null {
  const at = date === null ? NaN : Date.parse(date)
  // An answer that took long says little of when it was dated.
  if (Number.isNaN(at) || came < asked || came - asked > LEAST_MS) return null
  const skew = at + 500 - (asked + came) / 2
  return Math.abs(skew) < LEAST_MS ? 0 : skew
}
