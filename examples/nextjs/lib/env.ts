/** The settings that a browser may know. Next puts their values in where they are named in full. */

export function supabaseUrl(): string {
  return must('NEXT_PUBLIC_SUPABASE_URL', process.env.NEXT_PUBLIC_SUPABASE_URL).replace(/\/+$/, '')
}

export function publishableKey(): string {
  return must(
    'NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY (or NEXT_PUBLIC_SUPABASE_ANON_KEY)',
    process.env.NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY || process.env.NEXT_PUBLIC_SUPABASE_ANON_KEY,
  )
}

/** Where a browser finds the enricher. */
export function enricherUrl(): string {
  return (
    process.env.NEXT_PUBLIC_MEDIA_ENRICHER_URL || `${supabaseUrl()}/functions/v1/media-enricher`
  )
}

function must(name: string, value: string | undefined): string {
  if (!value) throw new Error(`${name} is not set. Put it into .env.local, and build again.`)
  return value
}
