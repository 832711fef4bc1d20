/**
 * The Edge Function `media-enricher`: it forwards every request to the gateway.
 *
 * It answers where frontends look for functions, at `https://REF.supabase.co/functions/v1/media-enricher/…`
 * and `https://REF.functions.supabase.co/media-enricher/…`, and does nothing else: the gateway
 * verifies callers, starts runs and reads tables.
 */

import { readSettings } from "./settings.ts";
import { handler } from "./handler.ts";

const settings = readSettings((name) => Deno.env.get(name));
for (const fault of settings.faults) console.error(fault);
Deno.serve(handler(settings));
