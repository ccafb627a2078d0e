export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue
}

/** One input of the form a plugin is started with. */
export interface Field {
  readonly name: string
  readonly label: string
  readonly help: string
  readonly kind: 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'json'
  readonly required: boolean
  readonly initial: JsonValue | undefined
  readonly choices: readonly JsonValue[]
  readonly min?: number
  readonly max?: number
}

/** The fields of a JSON Schema of an object, or null when it is not one a form can be made from. */
export function formFields(description: unknown): Field[] | null {
  const schema = asObject(description as JsonValue) ?? {}
  const root = resolve(schema, schema)
  const properties = root && asObject(root.properties)
  if (!root || !properties) return null
  const required = Array.isArray(root.required) ? root.required : []
  return Object.entries(properties).map(([name, value]) => {
    const field = resolve(value, schema) ?? {}
    return {
      name,
      label: typeof field.title === 'string' ? field.title : name,
      help: typeof field.description === 'string' ? field.description : '',
      kind: kindOf(field),
      required: required.includes(name),
      initial: field.default,
      choices: Array.isArray(field.enum) ? field.enum : [],
      ...(typeof field.minimum === 'number' && { min: field.minimum }),
      ...(typeof field.maximum === 'number' && { max: field.maximum }),
    }
  })
}

/** What a field's input says, as the value to send; undefined leaves the parameter out. Throws a sentence. */
export function readField(field: Field, text: string): JsonValue | undefined {
  if (text.trim() === '' && field.kind !== 'boolean') {
    if (field.required && field.kind !== 'text') throw new Error(`${field.label} is needed.`)
    return field.required ? text : undefined
  }
  if (field.kind === 'boolean') return text === 'true'
  if (field.kind === 'choice') return field.choices.find((choice) => String(choice) === text) ?? text
  if (field.kind === 'json') return parseJson(text, field.label)
  if (field.kind === 'text') return text
  const value = Number(text)
  if (!Number.isFinite(value)) throw new Error(`${field.label} has to be a number.`)
  if (field.kind === 'integer' && !Number.isInteger(value)) throw new Error(`${field.label} has to be a whole number.`)
  if (field.min !== undefined && value < field.min) throw new Error(`${field.label} has to be at least ${field.min}.`)
  if (field.max !== undefined && value > field.max) throw new Error(`${field.label} has to be at most ${field.max}.`)
  return value
}

/**
 * The texts the inputs start with, for parameters that are given: null when a form cannot say them. What is not given
 * starts with its default.
 */
export function textsOf(fields: readonly Field[], given: JsonObject): Record<string, string> | null {
  const texts: Record<string, string> = {}
  for (const field of fields) {
    const value = given[field.name]
    const text = value === undefined ? initialText(field) : textOf(field, value)
    if (text === null) return null
    texts[field.name] = text
  }
  return Object.keys(given).every((name) => name in texts) ? texts : null
}

function textOf(field: Field, value: JsonValue): string | null {
  // An empty input leaves the parameter out, which means its default.
  if (value === null) return field.initial === undefined || field.initial === null ? '' : null
  if (field.kind === 'json') return JSON.stringify(value)
  const fits = { text: 'string', boolean: 'boolean', number: 'number', integer: 'number' }[field.kind as string]
  return fits && typeof value !== fits ? null : String(value)
}

/** The text an input starts with. */
export function initialText(field: Field): string {
  if (field.initial === undefined || field.initial === null) return field.kind === 'boolean' ? 'false' : ''
  return field.kind === 'json' ? JSON.stringify(field.initial) : String(field.initial)
}

export function parseJson(text: string, label: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch (error) {
    throw new Error(`${label} is no valid JSON: ${error instanceof Error ? error.message : 'unreadable'}.`, {
      cause: error,
    })
  }
}

function kindOf(field: JsonObject): Field['kind'] {
  if (Array.isArray(field.enum)) return 'choice'
  const types = (Array.isArray(field.type) ? field.type : [field.type]).filter((type) => type !== 'null')
  if (types.length !== 1) return 'json'
  if (types[0] === 'string') return 'text'
  if (types[0] === 'integer' || types[0] === 'number' || types[0] === 'boolean') return types[0]
  return 'json'
}

/** Follows a `$ref` within the schema, and the one real branch of an optional value. */
function resolve(value: JsonValue, root: JsonObject, depth = 0): JsonObject | null {
  const schema = asObject(value)
  if (!schema || depth > 8) return schema
  if (typeof schema.$ref === 'string') {
    const target = schema.$ref
      .replace(/^#\//, '')
      .split('/')
      .reduce<JsonValue>((at, key) => asObject(at)?.[key] ?? null, root)
    const resolved = resolve(target, root, depth + 1)
    return resolved && { ...resolved, ...schema }
  }
  const options = schema.anyOf ?? schema.oneOf
  if (Array.isArray(options)) {
    const real = options.filter((option) => asObject(option)?.type !== 'null')
    const only = real.length === 1 ? resolve(real[0]!, root, depth + 1) : null
    if (only) return { ...only, ...schema }
  }
  return schema
}

export function asObject(value: JsonValue | undefined): JsonObject | null {
  return value && typeof value === 'object' && !Array.isArray(value) ? value : null
}
