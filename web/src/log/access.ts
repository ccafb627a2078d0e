/** The service's own task: who changed what. It is read like any task, and neither cancelled nor deleted. */
export const AUDIT_TASK = 'asynclog-audit'

/** What somebody sees: where account or site is null, all of them. */
export interface Scope {
  account: string | null
  site: string | null
  all_scopes: boolean
}

export function scopeText({ account, site, all_scopes }: Scope): string {
  if (all_scopes) return 'everything'
  if (account !== null && site !== null) return `${account} / ${site}`
  return account !== null ? `account ${account}` : `site ${site}`
}

export type KeyState = 'active' | 'expired' | 'revoked'

/** Times are ISO-8601; `now` is milliseconds. */
export function keyState(key: { expires_at: string | null; revoked_at: string | null }, now: number): KeyState {
  if (key.revoked_at !== null) return 'revoked'
  return key.expires_at !== null && Date.parse(key.expires_at) <= now ? 'expired' : 'active'
}

/** The text of a number of days as a number; null for none. Throws a sentence for a person. */
export function readDays(text: string): number | null {
  const trimmed = text.trim()
  if (!trimmed) return null
  const days = Number(trimmed)
  if (!Number.isInteger(days) || days < 1 || days > 3650)
    throw new Error('Whole days from 1 to 3650, or nothing for a key that does not expire.')
  return days
}
