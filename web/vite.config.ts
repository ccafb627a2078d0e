import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'
import { plainIcons } from './icons'
import { packedFiles } from './packing'

// ASYNCLOG_URL: the running service `npm run dev` talks to.
const service = process.env.ASYNCLOG_URL ?? 'http://127.0.0.1:8700'

export default defineConfig({
  plugins: [plainIcons(), svelte(), packedFiles()],
  base: './',
  build: {
    outDir: '../src/asynclog/server/static',
    emptyOutDir: true,
    target: 'es2022',
    // light-dark() in tokens.css is what needs these.
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'],
    // The service's content security policy allows no data: fonts or scripts, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/api': service,
      '/healthz': service,
      '/readyz': service,
      '/ws': { target: service, ws: true },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
})
