/** A limit of how long a server may be silent, before its answer begins and within it. */

/** Aborts a request when nothing came for some time. */
export class SilenceLimit {
  readonly #controller = new AbortController();
  readonly #milliseconds: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(seconds: number) {
    this.#milliseconds = seconds * 1000;
    this.restart();
  }

  /** For `fetch`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the server was silent for too long. */
  get isExceeded(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Count anew: something came. */
  restart(): void {
    this.stop();
    this.#timer = setTimeout(() => this.#controller.abort(), this.#milliseconds);
  }

  /** Count no more. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** A body as it comes, for as long as it keeps coming. */
  watch(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        this.restart(); // a reader that is slow is not the server's silence
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } finally {
          this.stop();
        }
      },
      cancel: async (reason) => {
        this.stop();
        await reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }
}
