import Anser from 'anser'

/**
 * Other people's text, cut into pieces that become text nodes: ANSI colours, links, search marks, and characters that
 * would otherwise act instead of show. Nothing here or behind it builds markup from a string.
 */
export interface Piece {
  readonly text: string
  readonly style?: TextStyle
  /** An http(s) address to link to. */
  readonly href?: string
  readonly mark?: boolean
  /** The text stands for an unprintable character. */
  readonly control?: boolean
}

export interface TextStyle {
  /** Space-separated class names: `ansi-red`, `ansi-bg-blue`, `ansi-bold`. */
  readonly classes: string
  /** Colours outside the sixteen named ones, as `r, g, b`. */
  readonly color?: string
  readonly background?: string
}

interface Span<T> {
  from: number
  to: number
  value: T
}

const LINK = /https?:\/\/[^\s<>"'`\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+/g
/** Operating system commands (titles, hyperlinks): they have no text of their own. */
const OSC = /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g
/** C0 and C1 but tab, zero-width and bidirectional controls, line separators, the byte order mark. */
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** The pieces of one line; `find` is marked wherever it occurs, A–Z folded as the service does it. */
export function pieces(line: string, find = ''): Piece[] {
  const { text, styles } = line.includes('\u001b') ? ansi(line) : { text: line, styles: [] }
  const links = text.includes('://') ? linksIn(text) : []
  const marks = find ? matches(text, find).map((from) => ({ from, to: from + find.length, value: true })) : []
  const controls = [...text.matchAll(CONTROL)].map((hit) => ({ from: hit.index, to: hit.index + 1, value: true }))
  if (!styles.length && !links.length && !marks.length && !controls.length) return text ? [{ text }] : []
  const cuts = new Set([0, text.length])
  for (const span of [...styles, ...links, ...marks, ...controls]) cuts.add(span.from).add(span.to)
  const edges = [...cuts].sort((a, b) => a - b)
  const [style, href, mark, control] = [walker(styles), walker(links), walker(marks), walker(controls)]
  return edges.slice(0, -1).map((from, at) => {
    const raw = text.slice(from, edges[at + 1])
    const isControl = control(from)
    return prune({
      text: isControl ? visible(raw) : raw,
      style: style(from),
      href: href(from),
      mark: mark(from),
      control: isControl,
    })
  })
}

/** The text without colour codes: what copying gives. */
export function plain(text: string): string {
  return text.includes('\u001b') ? Anser.ansiToText(text.replace(OSC, '')) : text
}

/** Where `find` begins in `text`, not overlapping, with A–Z folded and nothing else. */
export function matches(text: string, find: string): number[] {
  const [hay, needle] = [fold(text), fold(find)]
  const found: number[] = []
  for (let at = hay.indexOf(needle); at >= 0 && needle; at = hay.indexOf(needle, at + needle.length)) found.push(at)
  return found
}

/** A character that acts, as one that shows: control pictures, else its code point. */
export function visible(char: string): string {
  const code = char.codePointAt(0) ?? 0
  if (code < 0x20) return String.fromCodePoint(0x2400 + code)
  if (code === 0x7f) return '\u2421'
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}

function fold(text: string): string {
  return text.replace(/[A-Z]+/g, (run) => run.toLowerCase())
}

function linksIn(text: string): Span<string>[] {
  return [...text.matchAll(LINK)].flatMap((hit) => {
    const address = trimLink(hit[0])
    return URL.canParse(address) ? [{ from: hit.index, to: hit.index + address.length, value: address }] : []
  })
}

/** Sentence marks and unmatched closing brackets at the end belong to the sentence, not to the address. */
function trimLink(address: string): string {
  let end = address.length
  for (; end > 0; end -= 1) {
    const last = address[end - 1]!
    const opening = { ')': '(', ']': '[', '}': '{' }[last]
    const kept = address.slice(0, end)
    if (opening ? kept.split(opening).length >= kept.split(last).length : !'.,;:!?*'.includes(last)) break
  }
  return address.slice(0, end)
}

function ansi(line: string): { text: string; styles: Span<TextStyle>[] } {
  let text = ''
  const styles: Span<TextStyle>[] = []
  for (const part of Anser.ansiToJson(line.replace(OSC, ''), { json: true, remove_empty: true, use_classes: true })) {
    const style = styleOf(part)
    const from = text.length
    text += part.content
    if (style) styles.push({ from, to: text.length, value: style })
  }
  return { text, styles }
}

function styleOf(part: ReturnType<typeof Anser.ansiToJson>[number]): TextStyle | null {
  const names: string[] = part.decorations.filter((name) => name !== 'reverse').map((name) => `ansi-${name}`)
  const color = colorOf(part.fg, part.fg_truecolor)
  const background = colorOf(part.bg, part.bg_truecolor)
  if (part.fg && !color) names.push(part.fg)
  if (part.bg && !background) names.push(part.bg.replace(/^ansi-/, 'ansi-bg-'))
  if (!names.length && !color && !background) return null
  return { classes: names.join(' '), ...(color && { color }), ...(background && { background }) }
}

function colorOf(name: string | null, truecolor: string | null): string | undefined {
  if (name === 'ansi-truecolor') return truecolor ?? undefined
  const index = Number(/^ansi-palette-(\d+)$/.exec(name ?? '')?.[1] ?? NaN)
  if (!(index >= 16 && index <= 255)) return undefined
  if (index >= 232)
    return Array(3)
      .fill(8 + (index - 232) * 10)
      .join(', ')
  const steps = [0, 95, 135, 175, 215, 255]
  const cube = index - 16
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((step) => steps[step]).join(', ')
}

/** Looks spans up at growing positions; the spans are in order and do not overlap. */
function walker<T>(spans: Span<T>[]): (at: number) => T | undefined {
  let next = 0
  return (at) => {
    while (next < spans.length && spans[next]!.to <= at) next += 1
    const span = spans[next]
    return span && span.from <= at ? span.value : undefined
  }
}

function prune(piece: { [Key in keyof Piece]: Piece[Key] | undefined }): Piece {
  return Object.fromEntries(Object.entries(piece).filter(([, value]) => value !== undefined)) as unknown as Piece
}
