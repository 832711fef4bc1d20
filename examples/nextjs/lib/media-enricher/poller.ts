/** Repeating a look at something: never twice at once, and not while nobody is looking. */

const LONGEST_PAUSE_SECONDS = 60

/** What comes after a look: the next in time, the next after a longer while, or none. */
export type Next = 'again' | 'slower' | 'stop'

export class Poller {
  #timer: ReturnType<typeof setTimeout> | undefined
  #current: AbortController | undefined
  #isWantedAgain = false
  #failures = 0

  constructor(
    private readonly look: (signal: AbortSignal) => Promise<Next>,
    private readonly seconds: number,
  ) {}

  start(): void {
    document.addEventListener('visibilitychange', this.now)
    this.now()
  }

  stop(): void {
    document.removeEventListener('visibilitychange', this.now)
    clearTimeout(this.#timer)
    this.#current?.abort()
    this.#isWantedAgain = false
  }

  /** Look without waiting, or once more after the look that is going on. */
  readonly now = (): void => {
    clearTimeout(this.#timer)
    if (document.hidden) return
    if (this.#current) this.#isWantedAgain = true
    else void this.#lookOnce()
  }

  async #lookOnce(): Promise<void> {
    this.#current = new AbortController()
    const { signal } = this.#current
    const next = await this.look(signal)
    this.#current = undefined
    if (signal.aborted) return
    this.#failures = next === 'slower' ? this.#failures + 1 : 0
    if (this.#isWantedAgain) {
      this.#isWantedAgain = false
      this.now()
    } else if (next !== 'stop' && !document.hidden) {
      const pause = Math.min(this.seconds * 2 ** this.#failures, LONGEST_PAUSE_SECONDS)
      this.#timer = setTimeout(this.now, pause * 1000)
    }
  }
}
