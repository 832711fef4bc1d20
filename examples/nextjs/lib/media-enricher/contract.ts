/** What the enricher takes and answers, and what its table of runs holds. */

export type RunStatus = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled' | 'crashed'

/** What signed-in users may read of `public.media_enrich_runs`, and what is polled. */
export const RUN_COLUMNS = 'id, started_at, status, total_files, processed_files, succeeded, failed'

export interface Run {
  id: string
  started_at: string
  status: RunStatus
  total_files: number
  processed_files: number
  succeeded: number
  failed: number
}

export interface Backfill {
  bucket: string
  /** Only objects whose path starts with this. */
  prefix?: string | undefined
  /** The most objects to do in this run. */
  limit?: number | undefined
}

/** The answer to a backfill: 202 if it was started, 200 if it was under way already. */
export interface BackfillStarted {
  run_id: string
  status: RunStatus
  bucket: string
  prefix: string
  limit: number | null
  status_url: string
  already_running?: boolean
}

/** Every answer that is an error. */
export interface ErrorAnswer {
  /** A sentence for people. */
  error: string
  /** A slug for programs. */
  code: string
  /** Seconds to wait; also in the header Retry-After. */
  retry_after?: number
}
