export type Commands = Readonly<Record<string, () => void>>

/** Runs the command of a key, unless the key belongs to what has the focus. */
export function runCommand(event: KeyboardEvent, commands: Commands): void {
  const target = event.target instanceof Element ? event.target : null
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
  if (target?.closest('input, textarea, select, [role="dialog"], [role="menu"]')) return
  if (event.key === 'Enter' && target?.closest('button, a, summary')) return
  const command = commands[event.key]
  if (!command) return
  event.preventDefault()
  command()
}
