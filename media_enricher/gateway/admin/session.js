// @ts-check
/**
 * Who is signed in: Supabase Auth by plain fetch.
 *
 * The tokens are in the session storage of each tab, never in a URL, and are gone with the last tab.
 * A tab that is opened beside another gets them from it by a message, and all tabs follow each
 * other: they refresh the tokens one at a time, for Supabase ends a session whose refresh token is
 * used twice, and they sign in and out together.
 */

import { SharedTokens } from "./shared_tokens.js";

const REFRESH_SECONDS_BEFORE = 60;

/**
 * @typedef {object} Tokens
 * @property {string} access_token
 * @property {string} refresh_token
 * @property {number} expires_at Seconds since 1970.
 * @property {string} email
 */

/** A sign-in that was refused, in a sentence. */
export class SignInError extends Error {}

/** A session that has ended and cannot be continued. */
export class SignedOutError extends Error {
  constructor() {
    super("Your session has expired. Sign in again.");
  }
}

/** The session of the user, which the tabs share. Its tokens are refreshed before they expire. */
export class Session {
  /**
   * @param {string} supabaseUrl
   * @param {string} publishableKey
   * @param {() => void} onChange Another tab has signed in or out.
   */
  constructor(supabaseUrl, publishableKey, onChange) {
    this.authUrl = `${supabaseUrl}/auth/v1`;
    this.headers = { apikey: publishableKey, "content-type": "application/json" };
    this.shared = new SharedTokens(onChange);
    /** @type {Promise<void> | null} */
    this.refreshing = null;
  }

  get tokens() {
    return this.shared.tokens;
  }

  get email() {
    return this.tokens?.email ?? "";
  }

  get isSignedIn() {
    return this.tokens !== null;
  }

  /** Takes the session of another tab, if this one has none. */
  async join() {
    if (!this.tokens) await this.shared.askOthers();
  }

  /**
   * @param {string} email
   * @param {string} password
   * @throws {SignInError}
   */
  async signIn(email, password) {
    this._keep(await this._ask("password", { email, password }));
  }

  /** Ends the session here at once, and at Supabase if it can be reached. */
  signOut() {
    const token = this.tokens?.access_token;
    this.forget();
    fetch(`${this.authUrl}/logout?scope=local`, {
      method: "POST",
      headers: { ...this.headers, authorization: `Bearer ${token}` },
    }).catch(() => undefined); // the tokens are deleted here, and expire by themselves
  }

  forget() {
    this.shared.set(null);
  }

  /**
   * An access token that is good for a while yet.
   * @throws {SignedOutError}
   */
  async accessToken() {
    if (!this.tokens) throw new SignedOutError();
    if (this.tokens.expires_at - Date.now() / 1000 < REFRESH_SECONDS_BEFORE) await this.refresh();
    return this.tokens.access_token;
  }

  /**
   * Exchanges the refresh token, once for all who ask at the same time.
   * @throws {SignedOutError} Supabase refuses it.
   * @throws {TypeError} Supabase can't be reached.
   */
  async refresh() {
    this.refreshing ??= this._refresh().finally(() => {
      this.refreshing = null;
    });
    await this.refreshing;
  }

  async _refresh() {
    const old = this.tokens?.access_token;
    await this.shared.alone(async () => {
      await this.shared.askOthers(); // one of them may have refreshed while this tab was suspended
      if (!this.tokens) throw new SignedOutError();
      if (this.tokens.access_token !== old) return;
      await this._exchange(this.tokens.refresh_token);
    });
  }

  /** @param {string} refreshToken */
  async _exchange(refreshToken) {
    try {
      this._keep(await this._ask("refresh_token", { refresh_token: refreshToken }));
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      this.forget();
      throw new SignedOutError();
    }
  }

  /**
   * @param {string} grant
   * @param {object} body
   */
  async _ask(grant, body) {
    const response = await fetch(`${this.authUrl}/token?grant_type=${grant}`, {
      method: "POST",
      headers: this.headers,
      body: JSON.stringify(body),
    });
    const result = await response.json().catch(() => ({}));
    if (response.ok) return result;
    if (response.status >= 500) throw new TypeError(`Supabase Auth returned status ${response.status}.`);
    throw new SignInError(sentence(result, response.status));
  }

  /** @param {any} response */
  _keep(response) {
    this.shared.set({
      access_token: response.access_token,
      refresh_token: response.refresh_token,
      expires_at: Date.now() / 1000 + response.expires_in,
      email: response.user?.email ?? this.email,
    });
  }
}

/**
 * @param {{ error_code?: string, msg?: string, message?: string }} body
 * @param {number} status
 */
function sentence(body, status) {
  if (body.error_code === "invalid_credentials") {
    return "Wrong e-mail address or password. Check both and try again.";
  }
  return `Supabase rejected the sign-in: ${body.msg ?? body.message ?? `status ${status}`}.`;
}
