import type { Plugin } from 'vite'

const ICON = /\/@lucide\/svelte\/dist\/icons\/[a-z0-9-]+\.svelte$/
const DATA = /const iconData = (\{.*\});/

type Shape = [tag: string, attributes: Record<string, string>]

/**
 * Compiles each icon to plain markup. As they come they are drawn attribute by attribute when they are shown: a
 * quarter of the time that drawing a page took. Only `size` and `strokeWidth` are taken; icons are never read out.
 */
export function plainIcons(): Plugin {
  return {
    name: 'plain-icons',
    enforce: 'pre',
    transform(code, id) {
      if (!ICON.test(id)) return null
      const data = DATA.exec(code)?.[1]
      if (data === undefined) this.error(`${id} holds no icon as it is known; look how @lucide/svelte writes them now`)
      const { node } = JSON.parse(data) as { node: Shape[] }
      return { code: component(node.map(markup).join('')), map: null }
    },
  }
}

function markup([tag, attributes]: Shape): string {
  const written = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`)
  return `<${tag} ${written.join(' ')} />`
}

function component(shapes: string): string {
  return `<script>let { size = 24, strokeWidth = 2 } = $props()</script>
<svg width={size} height={size} stroke-width={strokeWidth} viewBox="0 0 24 24" fill="none" stroke="currentColor"
  stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${shapes}</svg>`
}
