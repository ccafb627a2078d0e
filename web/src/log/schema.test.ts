import { describe, expect, test } from 'vitest'
import { formFields, initialText, readField, textsOf, type Field, type JsonObject } from './schema'

const schema: JsonObject = {
  $ref: '#/$defs/Params',
  $defs: {
    Params: {
      type: 'object',
      required: ['path'],
      properties: {
        path: { type: 'string', description: 'where' },
        level: { anyOf: [{ type: 'integer', minimum: 0, maximum: 9 }, { type: 'null' }], default: 6 },
        verify: { type: 'boolean', default: true },
        format: { enum: ['zip', 'tar', 7] },
        tags: { type: 'array', items: { type: 'string' } },
      },
    },
  },
}
const fields = Object.fromEntries((formFields(schema) ?? []).map((field) => [field.name, field])) as Record<
  string,
  Field
>

describe('a form from a schema', () => {
  test('follows references and optional values, and falls back to JSON for what has no input', () => {
    expect(Object.values(fields).map((field) => field.kind)).toEqual(['text', 'integer', 'boolean', 'choice', 'json'])
    expect(fields.path).toMatchObject({ required: true, help: 'where' })
    expect(fields.level).toMatchObject({ initial: 6, min: 0, max: 9 })
  })

  test('there is none without properties, or when the references go in a circle', () => {
    expect(formFields(null)).toBeNull()
    expect(formFields({ type: 'string' })).toBeNull()
    expect(formFields({ $ref: '#/$defs/A', $defs: { A: { $ref: '#/$defs/A' } } })).toBeNull()
  })

  test('inputs are read as their type, and what is left empty is left out', () => {
    expect(readField(fields.level!, ' 7 ')).toBe(7)
    expect(readField(fields.level!, '')).toBeUndefined()
    expect(readField(fields.verify!, 'false')).toBe(false)
    expect(readField(fields.format!, '7')).toBe(7)
    expect(readField(fields.tags!, '["a"]')).toEqual(['a'])
    expect(readField(fields.path!, '')).toBe('')
    expect([initialText(fields.level!), initialText(fields.verify!), initialText(fields.path!)]).toEqual([
      '6',
      'true',
      '',
    ])
  })

  test('a wrong value is refused with a sentence that names it', () => {
    expect(() => readField(fields.level!, '10')).toThrow('level has to be at most 9.')
    expect(() => readField(fields.level!, '1.5')).toThrow('whole number')
    expect(() => readField(fields.tags!, '[')).toThrow('tags is no valid JSON')
  })
})

describe('a form with what was given', () => {
  const all = Object.values(fields)

  test('says it, and the defaults of what was not given', () => {
    const given: JsonObject = { path: '/a', verify: false, format: 7, tags: ['x'] }
    expect(textsOf(all, given)).toEqual({ path: '/a', level: '6', verify: 'false', format: '7', tags: '["x"]' })
  })

  test('there is none for what it has no field for, or cannot say', () => {
    expect(textsOf(all, { path: '/a', more: 1 })).toBeNull()
    expect(textsOf(all, { path: 7 })).toBeNull()
    expect(textsOf(all, { path: '/a', level: null })).toBeNull()
  })
})
