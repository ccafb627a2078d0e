/** What a token's colour is now, in the current theme: canvases know no custom properties. */
export function resolveColor(host: HTMLElement, token: string): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${token})`
  host.append(probe)
  const color = getComputedStyle(probe).color
  probe.remove()
  return color
}
