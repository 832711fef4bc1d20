'use client'

/** Starts a backfill of a bucket and shows how it gets on. For admins. */

import type { SupabaseClient } from '@supabase/supabase-js'
import { type FormEvent, useEffect, useMemo, useRef, useState } from 'react'

import { enricherUrl } from '@/lib/env'
import type { Run } from '@/lib/media-enricher/contract'
import { EnricherError } from '@/lib/media-enricher/enricher-error'
import { askEnricher, askServerRoute, startBackfill } from '@/lib/media-enricher/start-backfill'
import { useRuns } from '@/lib/media-enricher/use-runs'

import styles from './media-enricher-admin.module.css'

const TOAST_SECONDS = 8

export interface MediaEnricherAdminProps {
  /** Signed in: runs are read with it. */
  supabase: SupabaseClient
  /**
   * The path of your server route, which starts backfills with the service key. Without it, the
   * enricher itself is asked with the user's token.
   */
  serverRoute?: string | undefined
  defaultBucket?: string
  defaultPrefix?: string
  pollSeconds?: number
}

export function MediaEnricherAdmin({
  supabase,
  serverRoute,
  defaultBucket = 'dashboard-assets',
  defaultPrefix = '',
  pollSeconds = 3,
}: MediaEnricherAdminProps) {
  const { runs, error: pollError, refresh } = useRuns(supabase, pollSeconds)
  const { start, cancel, state } = useBackfill(supabase, serverRoute, refresh)

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    void start(
      String(form.get('bucket')),
      String(form.get('prefix')) || undefined,
      Number(form.get('limit')) || undefined,
    )
  }

  return (
    <section className={styles.admin} aria-labelledby="media-enricher">
      <h2 id="media-enricher">Media Enricher</h2>
      <form className={styles.form} onSubmit={submit}>
        <label>
          Bucket <input name="bucket" defaultValue={defaultBucket} required maxLength={255} />
        </label>
        <label>
          Prefix (optional) <input name="prefix" defaultValue={defaultPrefix} maxLength={1024} />
        </label>
        <label>
          Limit (optional) <input name="limit" type="number" min={1} max={2147483647} step={1} />
        </label>
        <button disabled={state.is === 'starting'}>Enrich now</button>
      </form>

      <div role="status" className={styles.status}>
        {state.is === 'starting' && !state.waiting && 'Starting…'}
        {state.is === 'starting' && state.waiting && (
          <>
            {state.waiting}{' '}
            <button type="button" onClick={cancel}>
              Give up
            </button>
          </>
        )}
        {state.is === 'started' && (
          <p className={styles.toast}>
            {state.message} <a href={`#run-${state.runId}`}>See the run</a>
          </p>
        )}
      </div>
      {state.is === 'refused' && (
        <p role="alert" className={styles.error}>
          {state.error}
        </p>
      )}
      {pollError && <p className={styles.error}>{pollError}</p>}

      <h3>Recent runs</h3>
      {runs === undefined && !pollError && <p>Loading…</p>}
      {runs?.length === 0 && <p>There are no runs yet.</p>}
      <ol className={styles.runs}>
        {runs?.map((run) => (
          <RunItem key={run.id} run={run} />
        ))}
      </ol>
    </section>
  )
}

function RunItem({ run }: { run: Run }) {
  const { id, status, started_at, total_files, processed_files, succeeded, failed } = run
  const hasEnded = status !== 'queued' && status !== 'running'
  return (
    <li id={`run-${id}`} data-status={status}>
      <p>
        <strong>{status}</strong>{' '}
        <time dateTime={started_at}>{new Date(started_at).toLocaleString()}</time> <code>{id}</code>
      </p>
      {!hasEnded && (
        <progress
          aria-label="Objects processed"
          {...(total_files > 0 && { value: processed_files, max: total_files })}
        />
      )}
      <p>
        {processed_files} of {total_files} processed, {succeeded} enriched,{' '}
        <span className={failed > 0 ? styles.error : undefined}>{failed} failed</span>
      </p>
    </li>
  )
}

type BackfillState =
  | { is: 'idle' }
  | { is: 'starting'; waiting?: string }
  | { is: 'started'; runId: string; message: string }
  | { is: 'refused'; error: string }

/** Starting one backfill at a time; whatever is left of it ends with the component. */
function useBackfill(
  supabase: SupabaseClient,
  serverRoute: string | undefined,
  onStarted: () => void,
) {
  const [state, setState] = useState<BackfillState>({ is: 'idle' })
  const attempt = useRef<AbortController>(undefined)
  const ask = useMemo(
    () => (serverRoute ? askServerRoute(serverRoute) : askEnricher(supabase, enricherUrl())),
    [supabase, serverRoute],
  )

  useEffect(() => () => attempt.current?.abort(), [])
  useEffect(() => {
    if (state.is !== 'started') return
    const timer = setTimeout(() => setState({ is: 'idle' }), TOAST_SECONDS * 1000)
    return () => clearTimeout(timer)
  }, [state])

  async function start(bucket: string, prefix?: string, limit?: number) {
    attempt.current?.abort()
    const { signal } = (attempt.current = new AbortController())
    setState({ is: 'starting' })
    try {
      const run = await startBackfill(
        ask,
        { bucket, prefix, limit },
        {
          signal,
          onWait: (error, seconds) =>
            setState({
              is: 'starting',
              waiting: `${error.message} The next try is in ${Math.ceil(seconds)} s.`,
            }),
        },
      )
      setState({
        is: 'started',
        runId: run.run_id,
        message: run.already_running ? 'This is under way already.' : 'The backfill was started.',
      })
      onStarted()
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof EnricherError)) throw error
      setState({ is: 'refused', error: error.message })
    }
  }

  function cancel() {
    attempt.current?.abort()
    setState({ is: 'idle' })
  }

  return { state, start, cancel }
}
