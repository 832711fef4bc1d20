// @ts-check
/** Looks again and again while the page is seen; less often when that fails. */

import { ApiError } from "./api.js";

const LONGEST_PAUSE_SECONDS = 60;

export class Polling {
  /**
   * @param {() => Promise<number>} look Returns the seconds until it wants to look again.
   * @param {(error: unknown, seconds: number) => void} onFailure
   */
  constructor(look, onFailure) {
    this.look = look;
    this.onFailure = onFailure;
    this.failures = 0;
    this.isOn = false;
    this.isLooking = false;
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

  /** Looks at once; if a look is under way, once more after it. */
  async now() {
    if (!this.isOn || document.hidden) return;
    this.isWanted = true;
    if (this.isLooking) return;
    this.isLooking = true;
    let pause = 0;
    while (this.isWanted) {
      this.isWanted = false;
      pause = await this._pauseAfterLook();
    }
    this.isLooking = false;
    clearTimeout(this.timer);
    if (this.isOn) this.timer = setTimeout(() => this.now(), pause * 1000);
  }

  async _pauseAfterLook() {
    try {
      const pause = await this.look();
      this.failures = 0;
      return pause;
    } catch (error) {
      this.failures += 1;
      const requested = error instanceof ApiError ? (error.retryAfter ?? 0) : 0;
      const pause = Math.max(requested, Math.min(LONGEST_PAUSE_SECONDS, 2 ** this.failures));
      if (this.isOn) this.onFailure(error, pause);
      return pause;
    }
  }
}
