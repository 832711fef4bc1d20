// @ts-check
/** Connects the parts of the page: the session, the current view, and polling. */

import { Api, ApiError, readConfig } from "./api.js";
import { confirmed } from "./confirmation.js";
import { byId, setTextOrHide } from "./dom.js";
import { StartForm } from "./form.js";
import { counted } from "./format.js";
import { Library } from "./library.js";
import { Polling } from "./polling.js";
import { isActive, placeOf } from "./progress.js";
import { retryFailures } from "./retry.js";
import { currentView, goTo, linkTo, onViewChange } from "./router.js";
import { RunView, showNoRun } from "./run.js";
import { RunList } from "./runs.js";
import { Session, SignInError, SignedOutError } from "./session.js";
import { toast } from "./toasts.js";

/** @typedef {import("./api.js").Run} Run */
/** @typedef {import("./router.js").View} View */

const SECONDS_WHILE_ACTIVE = 0.8; // progress is seen to move every second
const SECONDS_ELSE = 10;
const VIEWS = ["starting", "sign-in", "refused", "workspace"];

class Page {
  /** @param {{ supabase_url: string, publishable_key: string, default_bucket: string }} config */
  constructor(config) {
    this.defaultBucket = config.default_bucket;
    this.session = new Session(config.supabase_url, config.publishable_key, () => this._reopen());
    this.api = new Api(this.session);
    this.library = new Library(this.api);
    this.polling = new Polling(
      () => this._look(),
      (error, seconds) => this._showTrouble(error, seconds),
    );
    this.runs = new RunList({
      onCancel: (run) => this._cancel(run),
      onMore: () => this.polling.now(),
    });
    this.form = new StartForm(this.api, {
      onStarted: (id) => this._showStarted(id),
      onSignedOut: () => this._signedOut(),
    });
    /** @type {string | null} */
    this.userId = null;
    /** @type {RunView | null} */
    this.chosen = null;
    this.newestId = "";
    byId("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this._signIn();
    });
    byId("sign-out").addEventListener("click", () => this._signOut());
    byId("refused-sign-out").addEventListener("click", () => this._signOut());
    onViewChange((view) => this._follow(view));
  }

  /** Shows the view for the signed-in user, or the sign-in form. */
  async open() {
    await this.session.join();
    if (!this.session.isSignedIn) return this._showSignIn("");
    try {
      const me = await this.api.me();
      this.userId = me.user_id;
      this._showAccount();
      if (!me.may_trigger) return this._showRefusal();
      show("workspace");
      this._choose(currentView());
      this.form.prepare(this.defaultBucket, me.tenant_id);
      this.polling.start();
    } catch (error) {
      if (error instanceof SignedOutError) this._signedOut();
      else if (error instanceof ApiError && error.isPassing) this._openLater(error);
      else throw error;
    }
    return undefined;
  }

  /** @param {ApiError} error */
  _openLater(error) {
    const seconds = Math.max(5, error.retryAfter ?? 0);
    const sentence = `${error.message} Trying again in ${seconds} s.`;
    byId("starting").textContent = sentence;
    show("starting");
    setTimeout(() => this.open(), seconds * 1000);
  }

  async _signIn() {
    const [email, password, error] = [byId("email"), byId("password"), byId("sign-in-error")];
    error.textContent = "";
    try {
      await this.session.signIn(value(email).trim(), value(password));
    } catch (refusal) {
      const isRefused = refusal instanceof SignInError;
      if (!isRefused && !(refusal instanceof TypeError)) throw refusal;
      error.textContent = isRefused
        ? refusal.message
        : "Cannot reach Supabase. Check your connection and try again.";
      password.focus();
      return;
    }
    /** @type {HTMLFormElement} */ (byId("sign-in-form")).reset();
    await this.open();
  }

  _signOut() {
    this.session.signOut();
    this._leave("");
  }

  _signedOut() {
    this._leave(new SignedOutError().message);
  }

  /** Another tab has signed in or out. */
  _reopen() {
    this._leave("");
    return this.open();
  }

  /** @param {string} sentence */
  _leave(sentence) {
    this.polling.stop();
    this.runs.clear();
    this._leaveChosen();
    this.library.leave();
    byId("account").hidden = true;
    this._showSignIn(sentence);
  }

  /** @param {string} sentence */
  _showSignIn(sentence) {
    show("sign-in");
    byId("sign-in-error").textContent = sentence;
    byId("email").focus();
  }

  _showAccount() {
    byId("account-name").textContent = this.session.email;
    byId("account").hidden = false;
  }

  _showRefusal() {
    byId("refused-reason").textContent =
      `You are signed in as ${this.session.email}. This account may not start or watch runs.`;
    show("refused");
    byId("refused-title").focus();
  }

  /**
   * Follows a link to a view, and moves the keyboard focus.
   * @param {View} view
   */
  _follow(view) {
    if (byId("workspace").hidden) return;
    const before = this.chosen?.id ?? "";
    this._choose(view);
    if (view.name === "run") byId("run-title").focus();
    else if (view.name === "home") this.runs.focus(before);
    else if (view.name === "asset") byId("asset-title").focus();
    this.polling.now();
  }

  /**
   * Shows the sections of a view, and chooses its run. The home view has the newest.
   * @param {View} view
   */
  _choose(view) {
    byId("workspace").dataset.view = view.name;
    for (const section of document.querySelectorAll("[data-views]")) {
      const { views } = /** @type {HTMLElement} */ (section).dataset;
      section.toggleAttribute("hidden", !views?.split(" ").includes(view.name));
    }
    this.library.choose(view);
    this._chooseRun(view.name === "home" ? this.newestId : view.name === "run" ? view.id : "");
  }

  /** @param {string} id */
  _chooseRun(id) {
    this.runs.choose(id);
    if (id === (this.chosen?.id ?? "")) return;
    this._leaveChosen();
    if (!id) return;
    this.chosen = new RunView(id, this.api, this.userId, {
      onCancel: (run) => this._cancel(run),
      onRetry: (run) => this._retry(run),
    });
  }

  /** @param {string} id */
  _showStarted(id) {
    goTo(linkTo("run", { id }));
    this.polling.now(); // also if this run is shown already
  }

  _leaveChosen() {
    this.chosen?.leave();
    this.chosen = null;
    showNoRun();
  }

  async _look() {
    const { runs } = await this.api.runs(this.runs.limit);
    if (!this.session.isSignedIn) throw new SignedOutError();
    this.runs.show(runs);
    this.newestId = runs[0]?.id ?? "";
    if (!this.chosen && currentView().name === "home") this._chooseRun(this.newestId);
    await this._lookAtChosen(runs);
    await this.library.refresh(currentView());
    setTextOrHide(byId("trouble"), "");
    const chosen = this.chosen?.run;
    const isAnyActive = runs.some(isActive) || (chosen && isActive(chosen));
    return isAnyActive ? SECONDS_WHILE_ACTIVE : SECONDS_ELSE;
  }

  /** @param {Run[]} listed */
  async _lookAtChosen(listed) {
    const view = this.chosen;
    try {
      const run = listed.find(({ id }) => id === view?.id);
      await view?.refresh(this.runs.cancelling.has(view.id), run);
    } catch (error) {
      if (!(error instanceof ApiError) || error.isPassing || error.status === 429) throw error;
      if (view === this.chosen) view?.showMissing(error.message);
    }
  }

  /**
   * @param {unknown} error
   * @param {number} seconds
   */
  _showTrouble(error, seconds) {
    if (error instanceof SignedOutError) {
      this._signedOut();
      return;
    }
    if (!(error instanceof ApiError)) throw error;
    const when = seconds > 5 ? ` Trying again in ${Math.ceil(seconds)} s.` : "";
    setTextOrHide(byId("trouble"), error.message + when);
  }

  /** @param {Run} run */
  async _cancel(run) {
    const done = run.processed_files
      ? `The metadata of the ${counted(run.processed_files, "object")} that it has processed is kept.`
      : "It has not processed any objects yet.";
    const isConfirmed = await confirmed({
      title: `Cancel the run of ${placeOf(run)}?`,
      text: `${done} A later run can process the rest.`,
      yes: "Cancel the run",
      no: "Keep running",
      look: "danger",
    });
    if (!isConfirmed) return;
    this.runs.cancelling.add(run.id);
    this.polling.now();
    try {
      await this.api.cancel(run.id);
      toast(`The run of ${placeOf(run)} is being cancelled.`);
    } catch (error) {
      this.runs.cancelling.delete(run.id);
      if (error instanceof SignedOutError) this._signedOut();
      else if (error instanceof ApiError) toast(error.message, { isError: true });
      else throw error;
    }
    this.polling.now();
  }

  /** @param {Run} run */
  async _retry(run) {
    try {
      const id = await retryFailures(this.api, run);
      if (id) this._showStarted(id);
    } catch (error) {
      if (error instanceof SignedOutError) this._signedOut();
      else if (error instanceof ApiError) toast(error.message, { isError: true });
      else throw error;
    }
  }
}

/** @param {string} view */
function show(view) {
  for (const name of VIEWS) byId(name).hidden = name !== view;
}

/** @param {HTMLElement} field */
const value = (field) => /** @type {HTMLInputElement} */ (field).value;

try {
  const config = await readConfig();
  if (!config.publishable_key) {
    throw new ApiError(
      "The gateway has no publishable key, so nobody can sign in. Set SUPABASE_PUBLISHABLE_KEY and restart the gateway.",
    );
  }
  await new Page(config).open();
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  byId("starting").textContent = error.message;
}
