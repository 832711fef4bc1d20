// @ts-check
/** Polls while the page is visible, and less often after a failure. */

import { ApiError } from "./api.js";

const SHORTEST_PAUSE_SECONDS = 0.2;
const LONGEST_PAUSE_SECONDS = 60;

export class Polling {
  /**
   * @param {() => Promise<number>} poll Returns the seconds from its start to that of the next.
   * @param {(error: unknown, seconds: number) => void} onFailure
   */
  constructor(poll, onFailure) {
    this.poll = poll;
    this.onFailure = onFailure;
    this.failures = 0;
    this.isOn = false;
    this.isPolling = false;
    this.isWanted = false;
    this.timer = 0;
    document.addEventListener("visibilitychange", () => this.now());
  }

  start() {
    this.isOn = true;
    this.now();
  }

  stop() {
    this.isOn = false;
    this.failures = 0;
    clearTimeout(this.timer);
  }

  /** Polls at once. If a poll is in progress, it polls once more after that. */
  async now() {
    if (!this.isOn || document.hidden) return;
    this.isWanted = true;
    if (this.isPolling) return;
    this.isPolling = true;
    let pause = 0;
    while (this.isWanted) {
      this.isWanted = false;
      pause = await this._pauseAfterPoll();
    }
    this.isPolling = false;
    clearTimeout(this.timer);
    if (this.isOn) this.timer = setTimeout(() => this.now(), pause * 1000);
  }

  async _pauseAfterPoll() {
    const start = performance.now();
    try {
      const pause = await this.poll();
      this.failures = 0;
      return Math.max(SHORTEST_PAUSE_SECONDS, pause - (performance.now() - start) / 1000);
    } catch (error) {
      this.failures += 1;
      const requested = error instanceof ApiError ? (error.retryAfter ?? 0) : 0;
      const pause = Math.max(requested, Math.min(LONGEST_PAUSE_SECONDS, 2 ** this.failures));
      if (this.isOn) this.onFailure(error, pause);
      return pause;
    }
  }
}
