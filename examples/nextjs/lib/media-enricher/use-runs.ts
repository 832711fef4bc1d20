'use client'

/** The latest runs, kept up to date, as row level security lets the signed-in user see them. */

import type { SupabaseClient } from '@supabase/supabase-js'
import { useCallback, useEffect, useRef, useState } from 'react'

import { RUN_COLUMNS, type Run } from './contract'
import { Poller } from './poller'

const RUNS_SHOWN = 20

export interface Runs {
  /** Newest first; undefined until they are known. */
  runs: Run[] | undefined
  /** Why they can't be read just now. */
  error: string | undefined
  /** Look now. */
  refresh: () => void
}

export function useRuns(supabase: SupabaseClient, pollSeconds: number): Runs {
  const [runs, setRuns] = useState<Run[]>()
  const [error, setError] = useState<string>()
  const poller = useRef<Poller>(undefined)

  useEffect(() => {
    const polling = new Poller(async (signal) => {
      const found = await supabase
        .from('media_enrich_runs')
        .select(RUN_COLUMNS)
        .order('started_at', { ascending: false })
        .limit(RUNS_SHOWN)
        .retry(false) // the poller does
        .abortSignal(signal)
        .overrideTypes<Run[], { merge: false }>()
      if (signal.aborted) return 'stop'
      if (!found.error) {
        setRuns(found.data)
        setError(undefined)
        return 'again'
      }
      const isRefused = found.status >= 400 && found.status < 500 && found.status !== 429
      setError(
        isRefused
          ? `The runs cannot be read: ${found.error.message}`
          : 'The runs cannot be read just now. The next try follows by itself.',
      )
      return isRefused ? 'stop' : 'slower'
    }, pollSeconds)
    poller.current = polling
    polling.start()
    return () => polling.stop()
  }, [supabase, pollSeconds])

  const refresh = useCallback(() => poller.current?.now(), [])
  return { runs, error, refresh }
}
