import { describe, expect, test } from 'vitest'
import { matches, pieces, plain } from './text'

const shown = (line: string, find = '') =>
  pieces(line, find)
    .map((piece) => piece.text)
    .join('')

describe('pieces of a line', () => {
  test('plain text is one piece and stays as it is, markup included', () => {
    const text = '<script>alert(1)</script> {@html x} &amp;'
    expect(pieces(text)).toEqual([{ text }])
    expect(pieces('')).toEqual([])
  })

  test('ANSI colours become classes; what follows the reset has none', () => {
    expect(pieces('a \u001b[31mred\u001b[0m b')).toEqual([
      { text: 'a ' },
      { text: 'red', style: { classes: 'ansi-red' } },
      { text: ' b' },
    ])
  })

  test('palette and true colours are numbers, backgrounds and weight are kept', () => {
    const [palette, grey, truecolor, background] = pieces(
      '\u001b[38;5;208mp\u001b[0m\u001b[38;5;244mg\u001b[0m\u001b[1;38;2;1;2;3mt\u001b[0m\u001b[44mb\u001b[0m',
    )
    expect(palette?.style?.color).toBe('255, 135, 0')
    expect(grey?.style?.color).toBe('128, 128, 128')
    expect(truecolor?.style).toEqual({ classes: 'ansi-bold', color: '1, 2, 3' })
    expect(background?.style?.classes).toBe('ansi-bg-blue')
  })

  test('terminal commands leave no trace, other controls show as pictures and act on nothing', () => {
    expect(shown('\u001b]0;title\u0007a\u001b[2Jb')).toBe('ab')
    expect(shown('x\u0007\ry')).toBe('x␇␍y')
    expect(pieces('a\u202eb')).toEqual([{ text: 'a' }, { text: 'U+202E', control: true }, { text: 'b' }])
  })

  test('only http and https are linked, without the punctuation of the sentence', () => {
    const links = (text: string) => pieces(text).flatMap((piece) => piece.href ?? [])
    expect(links('see (https://example.org/a_(b)), or http://x.y/?q=1.')).toEqual([
      'https://example.org/a_(b)',
      'http://x.y/?q=1',
    ])
    expect(links('javascript:alert(1) ftp://x file:///etc/passwd https://')).toEqual([])
    expect(links('https://good.example/\u202egnp.exe')).toEqual(['https://good.example/'])
  })

  test('a mark may begin inside a colour and end inside a link', () => {
    const found = pieces('\u001b[31mred https\u001b[0m://x.y/', 'D HTTPS://X')
    expect(
      found
        .filter((piece) => piece.mark)
        .map((piece) => piece.text)
        .join(''),
    ).toBe('d https://x')
    expect(shown('\u001b[31mred https\u001b[0m://x.y/')).toBe('red https://x.y/')
  })

  test('a long line without anything special is not cut into characters', () => {
    expect(pieces('x'.repeat(1_000_000))).toHaveLength(1)
  })
})

test('matching folds A to Z and nothing else, as the service does', () => {
  expect(matches('Error error ERROR', 'error')).toEqual([0, 6, 12])
  expect(matches('ÄÖ', 'äö')).toEqual([])
  expect(matches('İx', 'x')).toEqual([1])
  expect(matches('aaaa', 'aa')).toEqual([0, 2])
  expect(matches('a.c', '.')).toEqual([1])
  expect(matches('abc', '')).toEqual([])
})

test('copied text has no colour codes', () => {
  expect(plain('\u001b[31mred\u001b[0m')).toBe('red')
})
