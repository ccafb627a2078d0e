import js from '@eslint/js'
import prettier from 'eslint-config-prettier'
import svelte from 'eslint-plugin-svelte'
import globals from 'globals'
import ts from 'typescript-eslint'
import svelteConfig from './svelte.config.js'

/** Log text is other people's: it reaches the page as text nodes only. */
const noMarkup = {
  selector: 'MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML)$/]',
  message: 'Text goes into text nodes; markup from strings is forbidden here.',
}

/** Imports only point down: log, api -> state -> components -> views. */
const below = (...folders) => ({
  'no-restricted-imports': [
    'error',
    {
      patterns: folders.map((name) => ({
        regex: `(^|/)${name}/`,
        message: 'Imports only point down: log, api -> state -> components -> views.',
      })),
    },
  ],
})

export default ts.config(
  { ignores: ['node_modules/', 'src/api/generated/', 'coverage/', 'test-results/'] },
  js.configs.recommended,
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  prettier,
  ...svelte.configs.prettier,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'], svelteConfig } },
  },
  {
    rules: {
      'no-restricted-syntax': ['error', noMarkup],
      'svelte/no-at-html-tags': 'error',
      // TypeScript checks undefined names, and knows the type-only ones.
      'no-undef': 'off',
      // State is replaced as a whole ($state.raw); plain collections are its values, never observed themselves.
      'svelte/prefer-svelte-reactivity': 'off',
      // Hash links need no resolver: the page has one path.
      'svelte/no-navigation-without-resolve': 'off',
    },
  },
  // Terminal colour codes and invisible characters are this module's subject.
  { files: ['src/log/text.ts'], rules: { 'no-control-regex': 'off' } },
  { files: ['src/log/**', 'src/api/**'], rules: below('state', 'components', 'views') },
  { files: ['src/state/**'], rules: below('components', 'views') },
  { files: ['src/components/**'], rules: below('views') },
)
