// @ts-check
/** The tokens of a session: the same in all tabs of this page, and gone with the last of them. */

const KEPT_AS = "media-enricher.session";
const ANSWER_MS = 300;

/** @typedef {import("./session.js").Tokens} Tokens */

/**
 * What tabs tell each other. `tokens: null` says that the user has signed out.
 * @typedef {{ wanted: true } | { tokens: Tokens | null }} Message
 */

export class SharedTokens {
  /** @param {() => void} onChange Another tab has signed in or out. Not called for new tokens. */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {Tokens | null} */
    this.tokens = JSON.parse(sessionStorage.getItem(KEPT_AS) ?? "null");
    this.channel = new BroadcastChannel(KEPT_AS);
    this.channel.addEventListener("message", ({ data }) => this._receive(data));
    /** @type {(() => void)[]} */
    this.asking = [];
  }

  /**
   * Stores tokens here, and sends them to the other tabs.
   * @param {Tokens | null} tokens
   */
  set(tokens) {
    this._store(tokens);
    this._send({ tokens });
  }

  /** Returns when another tab has sent its tokens, or soon. A later answer is taken as well. */
  async askOthers() {
    const answered = new Promise((/** @type {(value: void) => void} */ resolve) => {
      this.asking.push(resolve);
      setTimeout(resolve, ANSWER_MS);
    });
    this._send({ wanted: true });
    await answered;
    this.asking = [];
  }

  /**
   * Does something while no other tab does it. Browsers have locks only on HTTPS and localhost;
   * elsewhere Supabase forgives a refresh token that is used twice within ten seconds.
   * @param {() => Promise<void>} work
   */
  async alone(work) {
    if (navigator.locks) await navigator.locks.request(KEPT_AS, work);
    else await work();
  }

  /** @param {Message} message */
  _receive(message) {
    if ("wanted" in message) {
      if (this.tokens) this._send({ tokens: this.tokens });
      return;
    }
    const { tokens } = message;
    if (tokens && this.tokens?.email === tokens.email && isOlder(tokens, this.tokens)) return;
    const isSameUser = this.tokens?.email === tokens?.email;
    this._store(tokens);
    if (this.asking.length) for (const resolve of this.asking) resolve();
    else if (!isSameUser) this.onChange();
  }

  /** @param {Tokens | null} tokens */
  _store(tokens) {
    this.tokens = tokens;
    if (tokens) sessionStorage.setItem(KEPT_AS, JSON.stringify(tokens));
    else sessionStorage.removeItem(KEPT_AS);
  }

  /** @param {Message} message */
  _send(message) {
    this.channel.postMessage(message);
  }
}

/**
 * Whether a tab has sent tokens that were refreshed since.
 * @param {Tokens} tokens
 * @param {Tokens} ours
 */
const isOlder = (tokens, ours) => tokens.expires_at < ours.expires_at;
