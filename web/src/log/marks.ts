import type { Bucket, Level } from '../api/types'
import { millis } from './format'
import { LEVELS } from './levels'

/** A stretch of the task on the scrubber, as fractions of its last seq. */
export interface Mark {
  readonly from: number
  readonly to: number
}

export function bucketTotal(bucket: Bucket): number {
  return LEVELS.reduce((sum, level) => sum + (bucket.counts[level] ?? 0), 0)
}

/** Marks at known entries. */
export function exactMarks(seqs: readonly number[], lastSeq: number): Mark[] {
  return lastSeq > 0 ? seqs.map((seq) => ({ from: (seq - 1) / lastSeq, to: seq / lastSeq })) : []
}

/**
 * Where, by seq, the buckets of a histogram over all of a task's entries begin and end: the running total of what
 * they hold. Exact as far as timestamps grow with seq, and a good guess where they do not.
 */
export function bucketEdges(all: readonly Bucket[]): { start: number; end: number; from: number; to: number }[] {
  const total = all.reduce((sum, bucket) => sum + bucketTotal(bucket), 0)
  let before = 0
  return all.map((bucket) => {
    const from = total ? before / total : 0
    before += bucketTotal(bucket)
    return { start: millis(bucket.start), end: millis(bucket.end), from, to: total ? before / total : 0 }
  })
}

/** Marks for the buckets of `all` in which `level` occurs. */
export function levelMarks(all: readonly Bucket[], level: Level): Mark[] {
  return bucketEdges(all).filter((_, at) => (all[at]!.counts[level] ?? 0) > 0)
}

/** Marks for the non-empty buckets of a filtered histogram, placed by time on the one over everything. */
export function filteredMarks(all: readonly Bucket[], some: readonly Bucket[]): Mark[] {
  const edges = bucketEdges(all)
  const at = (time: number): number => {
    const edge = edges.find((each) => time < each.end) ?? edges.at(-1)
    if (!edge) return 0
    const share = edge.end > edge.start ? (time - edge.start) / (edge.end - edge.start) : 0
    return edge.from + Math.min(1, Math.max(0, share)) * (edge.to - edge.from)
  }
  return some
    .filter((bucket) => bucketTotal(bucket) > 0)
    .map((bucket) => ({ from: at(millis(bucket.start)), to: at(millis(bucket.end)) }))
}
