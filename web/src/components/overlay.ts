import type { Snippet } from 'svelte'

export interface MenuItem {
  readonly label: string
  /** A heading before it. */
  readonly group?: string | undefined
  readonly onselect?: () => void
  /** A file to download, in place of something to do. */
  readonly href?: string
  readonly disabled?: boolean
  readonly danger?: boolean
  /** It can be taken off the menu. */
  readonly onforget?: () => void
}

/** A button and what drops down from it: a menu of `items`, or any `body`. */
export interface DropProps {
  readonly label: string
  readonly title?: string
  /** Classes of the button. */
  readonly look: string
  /** A class of what drops down. */
  readonly panel?: string
  readonly align?: 'start' | 'end'
  /** What the button shows. */
  readonly trigger: Snippet
  readonly items?: readonly MenuItem[]
  /** Before the items. */
  readonly head?: Snippet
  readonly body?: Snippet<[close: () => void]>
}

export interface ModalProps {
  readonly open: boolean
  readonly title: string
  readonly description?: string | undefined
  readonly wide?: boolean
  readonly onclose: () => void
  readonly children: Snippet
  readonly footer?: Snippet
}
