import { gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

/** A packet holds about so much: below it packing brings nothing forward. */
const LEAST = 1400

/** Lays beside each file of the build the same packed, `NAME.gz`: a third of it is what a browser then fetches. */
export function packedFiles(): Plugin {
  return {
    name: 'packed-files',
    apply: 'build',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        for (const file of Object.values(bundle)) {
          const source = file.type === 'chunk' ? file.code : file.source
          if (!file.fileName.startsWith('assets/') || source.length < LEAST) continue
          this.emitFile({ type: 'asset', fileName: `${file.fileName}.gz`, source: gzipSync(source, { level: 9 }) })
        }
      },
    },
  }
}
