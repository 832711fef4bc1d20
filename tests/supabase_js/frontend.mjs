// What a frontend does, with supabase-js alone. It is told where and who by the JSON in its only
// argument, and prints what it got as JSON.

import { createClient, FunctionsHttpError } from '@supabase/supabase-js'

const { url, key, bucket, admin, reader } = JSON.parse(process.argv[2])
const backfill = `media-enricher/backfill?bucket=${encodeURIComponent(bucket)}`

const visitor = client()
const manager = await signedIn(admin)
const member = await signedIn(reader)

const byVisitor = await invoke(visitor)
const byMember = await invoke(member)
const started = await invoke(manager)
const inRegion = await invoke(manager, { region: 'eu-west-1' })
const run = await ended(manager, started.data.run_id)

console.log(
  JSON.stringify({
    byVisitor,
    byMember,
    started,
    inRegion,
    run,
    visitorsAssets: await assets(visitor),
    membersAssets: await assets(member),
  }),
)

function client() {
  return createClient(url, key, { auth: { persistSession: false, autoRefreshToken: false } })
}

async function signedIn(user) {
  const supabase = client()
  const { error } = await supabase.auth.signInWithPassword(user)
  if (error) throw error
  return supabase
}

async function invoke(supabase, options = {}, tries = 3) {
  const { data, error, response } = await supabase.functions.invoke(backfill, {
    method: 'POST',
    body: {},
    ...options,
  })
  if (response.status === 503 && tries > 1) {
    await seconds(Number(response.headers.get('retry-after')))
    return invoke(supabase, options, tries - 1)
  }
  return {
    status: response.status,
    data,
    isFunctionsHttpError: error instanceof FunctionsHttpError,
    error: error && (await error.context.json()),
  }
}

async function ended(supabase, id) {
  for (;;) {
    const { data, error } = await supabase
      .from('media_enrich_runs')
      .select('id, started_at, status, total_files, processed_files, succeeded, failed')
      .order('started_at', { ascending: false })
      .limit(20)
    if (error) throw error
    const run = data.find((each) => each.id === id)
    if (!run) throw new Error(`run ${id} is not among the latest`)
    if (!['queued', 'running'].includes(run.status)) return run
    await seconds(0.2)
  }
}

async function assets(supabase) {
  const { data, error } = await supabase
    .from('media_assets')
    .select('path, status, width, height, blurhash, dominant_color, content_type')
    .eq('bucket', bucket)
    .order('path')
  return error ? { refused: error.message } : data
}

function seconds(count) {
  return new Promise((resolve) => setTimeout(resolve, count * 1000))
}
