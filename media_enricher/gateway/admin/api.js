// @ts-check
/** The gateway's routes. Every failure becomes one sentence that can be shown as it is. */

import { Session, SignedOutError } from "./session.js";

const BASE = new URL("../", import.meta.url); // …/media-enricher/, behind any proxy
const PATIENCE_SECONDS = [1, 2, 4];

/** @typedef {"queued"|"running"|"completed"|"failed"|"cancelled"|"crashed"} RunStatus */

/**
 * @typedef {object} Run A field can also be null because the reader may not see it.
 * @property {string} id
 * @property {string | null} flow
 * @property {string | null} bucket
 * @property {string | null} prefix
 * @property {number | null} max_files
 * @property {number | null} [max_bytes]
 * @property {string | null} [stopped_by] `max_bytes`, if the budget ended the run.
 * @property {string | null} mode
 * @property {string | null} depth
 * @property {string | null} trigger
 * @property {string | null} requested_by
 * @property {string | null} parent_run_id
 * @property {RunStatus} status
 * @property {number} total_files
 * @property {number} processed_files
 * @property {number} succeeded
 * @property {number} failed
 * @property {number} skipped
 * @property {number | null} bytes_read
 * @property {string | null} snapshot_path
 * @property {string | null} error
 * @property {string} started_at
 * @property {string | null} finished_at
 * @property {number | null} objects_per_second
 * @property {number | null} seconds_left
 * @property {string | null} prefect_url
 * @property {Failure[]} [failures]
 */

/**
 * @typedef {object} Failure
 * @property {string} error_code
 * @property {number} objects
 * @property {string} path
 * @property {string | null} error_message
 */

/**
 * @typedef {object} Asset
 * @property {string} path
 * @property {"enriched"|"failed"|"unsupported"} status
 * @property {string | null} error_code
 * @property {string | null} error_message
 * @property {"image"|"video"|"audio"|"document"|"other"} kind
 * @property {string | null} content_type
 * @property {string | null} format
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} duration_seconds
 * @property {number | null} page_count
 * @property {number | null} page_width_points
 * @property {number | null} page_height_points
 * @property {number | null} size_bytes
 * @property {boolean | null} has_alpha
 * @property {string | null} dominant_color
 * @property {string[] | null} palette
 * @property {string | null} blurhash
 * @property {string | null} taken_at
 * @property {number | null} taken_at_offset
 * @property {string | null} camera_make
 * @property {string | null} camera_model
 * @property {string | null} title
 * @property {string | null} description
 * @property {string[] | null} tags
 * @property {string[] | null} labels
 * @property {string[] | null} warnings
 * @property {string | null} picture_url The object itself.
 * @property {string | null} [preview_url] A smaller picture, if the project's Storage makes them.
 */

/** @typedef {{ facet: string, value: string, objects: number, size_bytes: number, counted_at: string | null }} Total */
/** @typedef {{ bucket: string, is_public: boolean, totals: Total[] }} BucketTotals */
/** @typedef {Asset & { id: string, bucket: string }} FoundAsset */
/** @typedef {{ path: string, size_bytes: number | null, declared_content_type: string | null }} MissingObject */

/**
 * @typedef {object} AssetRun
 * @property {string} id
 * @property {string} flow
 * @property {string} mode
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {boolean} is_last
 * @property {string | null} outcome
 * @property {string | null} error_code
 */

/**
 * @typedef {object} AssetDetails
 * @property {Record<string, any>} asset Every column of its row.
 * @property {string | null} picture_url
 * @property {string | null} preview_url
 * @property {AssetRun[]} runs
 * @property {FoundAsset[]} similar
 */

/**
 * @typedef {object} RunRequest
 * @property {string} bucket
 * @property {string} [prefix]
 * @property {number} [limit] Objects.
 * @property {number} [max_bytes]
 * @property {string} mode
 * @property {string} depth
 */

/** @typedef {{ role: string, user_id: string | null, tenant_id: string | null, may_trigger: boolean }} Me */

/** A request that was refused or got no response. The message can be shown to the user. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, field?: string | null, retryAfter?: number | null }} [details]
   */
  constructor(message, { status = 0, field = null, retryAfter = null } = {}) {
    super(message);
    this.status = status; // 0: there was no response
    this.field = field;
    this.retryAfter = retryAfter; // seconds
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status >= 500;
  }
}

/** The addresses that the page uses, its key and the default bucket. */
export async function readConfig() {
  const response = await fetch(new URL("config.json", import.meta.url)).catch(() => null);
  if (!response?.ok) throw new ApiError("The gateway does not respond. Reload this page in a minute.");
  return response.json();
}

/** The routes, as the signed-in user. */
export class Api {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** @returns {Promise<Me>} */
  me() {
    return this._get("me");
  }

  /** @returns {Promise<{ buckets: string[] }>} */
  buckets() {
    return this._get("buckets");
  }

  /**
   * What a run would work on; nothing is started.
   * @param {RunRequest} request
   * @returns {Promise<import("./cost.js").Estimate>}
   */
  count(request) {
    return this._post("backfill", { ...request, dry_run: true });
  }

  /**
   * Sends the request again if the response is lost. The key makes it the same request.
   * @param {RunRequest} request
   * @param {(error: ApiError, seconds: number) => void} onWait
   * @returns {Promise<{ run_id: string, already_running?: boolean }>}
   */
  async start(request, onWait) {
    const headers = { "idempotency-key": newKey() };
    for (const seconds of PATIENCE_SECONDS) {
      try {
        return await this._post("backfill", request, headers);
      } catch (error) {
        if (!(error instanceof ApiError && error.isPassing)) throw error;
        const pause = Math.max(seconds, error.retryAfter ?? 0);
        onWait(error, pause);
        await new Promise((resolve) => setTimeout(resolve, pause * 1000));
      }
    }
    return this._post("backfill", request, headers);
  }

  /**
   * @param {number} limit
   * @returns {Promise<{ runs: Run[] }>}
   */
  runs(limit) {
    return this._get("runs", { limit });
  }

  /**
   * @param {string} id
   * @returns {Promise<Run>}
   */
  run(id) {
    return this._get(`runs/${encodeURIComponent(id)}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<Run>}
   */
  cancel(id) {
    return this._post(`runs/${encodeURIComponent(id)}/cancel`, {});
  }

  /**
   * @param {string} id
   * @param {{ after?: string, limit: number, status?: string }} page
   * @returns {Promise<{ assets: Asset[], next: string | null }>}
   */
  assets(id, page) {
    return this._get(`runs/${encodeURIComponent(id)}/assets`, page);
  }

  /**
   * @param {string} id
   * @returns {Promise<{ path: string, parts: { name: string, url: string | null }[] }>}
   */
  snapshot(id) {
    return this._get(`runs/${encodeURIComponent(id)}/snapshot`);
  }

  /** @returns {Promise<{ buckets: BucketTotals[] }>} */
  dashboard() {
    return this._get("dashboard");
  }

  /**
   * @param {Record<string, string | number | boolean | undefined>} filters
   * @returns {Promise<{ assets: FoundAsset[], next: string | null }>}
   */
  search(filters) {
    return this._get("assets", filters);
  }

  /**
   * @param {string} id
   * @returns {Promise<AssetDetails>}
   */
  asset(id) {
    return this._get(`assets/${encodeURIComponent(id)}`);
  }

  /**
   * @param {{ bucket: string, after: string, limit: number }} page
   * @returns {Promise<{ objects: MissingObject[], next: string | null }>}
   */
  missing(page) {
    return this._get("missing", page);
  }

  /**
   * @param {string} bucket
   * @param {string} path
   * @returns {Promise<{ run_id: string }>}
   */
  enrich(bucket, path) {
    return this._post("enrich", { bucket, path });
  }

  /**
   * @param {string} path
   * @param {Record<string, string | number | boolean | undefined>} [query]
   */
  _get(path, query = {}) {
    const url = new URL(path, BASE);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
    }
    return this._ask(url, { method: "GET" });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {Record<string, string>} [headers]
   */
  _post(path, body, headers = {}) {
    return this._ask(new URL(path, BASE), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  }

  /**
   * A refused token is refreshed once: it may have been revoked, or this clock may be wrong.
   * @param {URL} url
   * @param {RequestInit} request
   * @returns {Promise<any>}
   */
  async _ask(url, request) {
    let response = await this._send(url, request);
    if (response.status === 401) {
      await this._orUnreachable(this.session.refresh());
      response = await this._send(url, request);
    }
    if (response.status === 401) {
      this.session.forget();
      throw new SignedOutError();
    }
    const body = await response.json().catch(() => null);
    if (response.ok && body !== null) return body;
    throw new ApiError(body?.error ?? `The gateway returned status ${response.status}.`, {
      status: response.status,
      field: body?.field ?? null,
      retryAfter: secondsIn(response.headers.get("retry-after")),
    });
  }

  /**
   * @param {URL} url
   * @param {RequestInit} request
   */
  async _send(url, request) {
    const token = await this._orUnreachable(this.session.accessToken());
    const headers = { ...request.headers, authorization: `Bearer ${token}` };
    return this._orUnreachable(fetch(url, { ...request, headers, cache: "no-store" }));
  }

  /**
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  async _orUnreachable(promise) {
    try {
      return await promise;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // fetch throws a TypeError if there is no response
      throw new ApiError(
        "Cannot reach the gateway. Check your connection, and that the gateway is running.",
      );
    }
  }
}

/** @param {string | null} header */
function secondsIn(header) {
  const seconds = Number(header);
  return header && Number.isFinite(seconds) ? seconds : null;
}

/** 128 random bits; crypto.randomUUID is missing where a page is not served over HTTPS. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
