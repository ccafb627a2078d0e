import { defineConfig } from '@hey-api/openapi-ts'

// The service's description comes from the service itself: `make api-types` names the file and the folder.
export default defineConfig({
  input: process.env.API_DESCRIPTION ?? 'openapi.json',
  output: { path: process.env.API_TYPES ?? 'src/api/generated', entryFile: false },
  parser: { filters: { orphans: true, operations: { exclude: ['/.*/'] } } },
  plugins: ['@hey-api/typescript'],
})
