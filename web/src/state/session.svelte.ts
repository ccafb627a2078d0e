import { asApiError, onUnauthorized, type ApiError } from '../api/client'
import { getSession, signIn, signOut } from '../api/routes'
import type { Role, Session as Me } from '../api/types'

const RANK: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 }

/** Who looks at the page, and what they may do. What is refused here is only not offered: the service decides. */
class Session {
  /** undefined until the service has said it; null when it asks for a key. */
  #me = $state.raw<Me | null | undefined>(undefined)
  #problem = $state.raw<ApiError | null>(null)

  constructor() {
    onUnauthorized(() => (this.#me = null))
  }

  get me(): Me | null | undefined {
    return this.#me
  }

  /** Why it could not be asked, when it could not. */
  get problem(): ApiError | null {
    return this.#problem
  }

  may(role: Role): boolean {
    return this.#me ? RANK[this.#me.role] >= RANK[role] : false
  }

  /** Keys and the audit are about everybody, so only admins of everything see them. */
  get mayManageKeys(): boolean {
    return this.may('admin') && this.#me?.all_scopes === true
  }

  async load(): Promise<void> {
    try {
      this.#me = await getSession()
      this.#problem = null
    } catch (error) {
      const problem = asApiError(error)
      this.#problem = problem.status === 401 ? null : problem
      if (problem.status === 401) this.#me = null
    }
  }

  /** Rejects with ApiError when the key is not accepted. */
  async signIn(key: string): Promise<void> {
    this.#me = await signIn(key)
  }

  async signOut(): Promise<void> {
    await signOut()
    this.#me = null
  }
}

export const session = new Session()
