/** The frame with what was just changed is on screen; or a while has passed, since a hidden tab draws none. */
export function painted(): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 150)
    requestAnimationFrame(() => {
      // From within a frame, the next task comes after it.
      clearTimeout(timer)
      setTimeout(resolve)
    })
  })
}
