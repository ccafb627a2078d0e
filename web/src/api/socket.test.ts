import { describe, expect, test } from 'vitest'
import { backoffDelay } from './backoff'
import { LiveSocket, type SocketState } from './socket'

class FakeSocket {
  readyState = 0
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  sent: string[] = []
  constructor(readonly url: string) {}
  send(text: string) {
    this.sent.push(text)
  }
  close() {
    this.readyState = 3
  }
  open() {
    this.readyState = 1
    this.onopen?.()
  }
  frame(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }
  lose(code: number, reason = '') {
    this.readyState = 3
    this.onclose?.({ code, reason })
  }
}

function setUp() {
  const sockets: FakeSocket[] = []
  const timers: { run: () => void }[] = []
  const waits: number[] = []
  const states: SocketState[] = []
  const frames: { type: string; through?: number }[] = []
  let cursor = 0
  const live = new LiveSocket<{ type: string; through?: number }>(
    {
      url: () => `ws://x/?after=${cursor}`,
      frame: (frame) => {
        frames.push(frame)
        cursor = frame.through ?? cursor
      },
      state: (state) => states.push(state),
    },
    {
      open: (url) => {
        const socket = new FakeSocket(url)
        sockets.push(socket)
        return socket as unknown as WebSocket
      },
      now: () => 1000,
      later: (run, ms) => {
        const timer = { run }
        waits.push(ms)
        timers.push(timer)
        return () => void timers.splice(timers.indexOf(timer), 1)
      },
      random: () => 0,
    },
  )
  return { live, sockets, timers, waits, states, frames }
}

describe('a live socket', () => {
  test('comes back where the lost connection ended, and says when', () => {
    const { live, sockets, timers, states } = setUp()
    live.connect()
    sockets[0]!.open()
    sockets[0]!.frame({ type: 'entries', through: 17 })
    sockets[0]!.lose(1006)
    expect(states.at(-1)).toEqual({ kind: 'waiting', retryAt: 1250, attempt: 1 })
    timers[0]!.run()
    expect(sockets[1]!.url).toBe('ws://x/?after=17')
    sockets[1]!.open()
    expect(states.map((state) => state.kind)).toEqual(['connecting', 'live', 'waiting', 'connecting', 'live'])
  })

  test('waits longer each time while nobody answers, and starts over after a frame', () => {
    const { live, sockets, timers, waits } = setUp()
    live.connect()
    for (let round = 0; round < 3; round += 1) {
      sockets.at(-1)!.lose(1006)
      timers.at(-1)!.run()
    }
    expect(waits).toEqual([250, 500, 1000])
    sockets.at(-1)!.open()
    sockets.at(-1)!.frame({ type: 'task' })
    sockets.at(-1)!.lose(1001)
    expect(waits.at(-1)).toBe(250)
  })

  test('after sleep it connects anew where it seemed open or waited, and nowhere else', () => {
    const { live, sockets, states } = setUp()
    live.connect()
    sockets[0]!.open()
    sockets[0]!.frame({ type: 'entries', through: 5 })
    live.wake()
    expect(sockets.map((socket) => socket.url)).toEqual(['ws://x/?after=0', 'ws://x/?after=5'])
    sockets[1]!.lose(1006)
    live.wake()
    expect(sockets).toHaveLength(3)
    sockets[2]!.frame({ type: 'end' })
    sockets[2]!.lose(1000)
    live.wake()
    expect(sockets).toHaveLength(3)
    expect(states.at(-1)).toEqual({ kind: 'ended' })
  })

  test('the end of a task is no loss, and a refusal is not tried again', () => {
    const ended = setUp()
    ended.live.connect()
    ended.sockets[0]!.frame({ type: 'end', last_seq: 3 })
    ended.sockets[0]!.lose(1000)
    expect(ended.states.at(-1)).toEqual({ kind: 'ended' })
    const gone = setUp()
    gone.live.connect()
    gone.sockets[0]!.lose(4404, 'gone')
    expect(gone.states.at(-1)).toEqual({ kind: 'refused', code: 4404, reason: 'gone' })
    expect(gone.timers).toEqual([])
  })

  test('after close nothing of the old connection is heard and none is opened', () => {
    const { live, sockets, frames, states } = setUp()
    live.connect()
    const old = sockets[0]!
    live.close()
    old.frame({ type: 'entries' })
    old.lose(1006)
    live.connect()
    expect([frames.length, sockets.length, states.at(-1)?.kind]).toEqual([0, 1, 'closed'])
  })

  test('a restart takes the new address and ignores late frames of the old one', () => {
    const { live, sockets, frames } = setUp()
    live.connect()
    const late = sockets[0]!.onmessage
    live.restart()
    late?.({ data: '{"type":"entries"}' })
    expect(frames).toEqual([])
    expect(sockets).toHaveLength(2)
  })

  test('sends only on an open connection', () => {
    const { live, sockets } = setUp()
    live.connect()
    expect(live.send({ type: 'filter' })).toBe(false)
    sockets[0]!.open()
    expect(live.send({ type: 'filter' })).toBe(true)
    expect(sockets[0]!.sent).toEqual(['{"type":"filter"}'])
  })
})

test('the wait doubles up to 15 s, and jitter only ever shortens it to a half', () => {
  expect([0, 1, 2, 20].map((attempt) => backoffDelay(attempt, () => 1))).toEqual([500, 1000, 2000, 15000])
  expect(backoffDelay(20, () => 0)).toBe(7500)
})
