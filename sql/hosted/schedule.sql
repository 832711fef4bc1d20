-- Optional, for a hosted Supabase project: a sweep of a bucket every quarter of an hour, which finds
-- what webhooks lost. `media-enricher migrate` does not apply it; put your bucket's name into it and
-- run it once, in the dashboard's SQL editor. Not run here, where there is neither pg_cron nor pg_net.
-- (With a Prefect schedule of your own you do not need it.)
--
-- It needs the extensions pg_cron and pg_net, and two secrets in Vault; the key is read anew each
-- time and stands nowhere in the job:
--
--   create extension if not exists pg_cron;
--   create extension if not exists pg_net;
--   select vault.create_secret('https://media.example.com', 'media_enricher_url');
--   select vault.create_secret('a secret key (sb_secret_…)', 'media_enricher_service_key');
--
-- To remove it: select cron.unschedule('media-enricher dashboard-assets').

select cron.schedule(
  'media-enricher dashboard-assets',
  '*/15 * * * *',
  $$
  select net.http_post(
    url := (select decrypted_secret from vault.decrypted_secrets
      where name = 'media_enricher_url') || '/media-enricher/cron?bucket=dashboard-assets',
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'Authorization', 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets
        where name = 'media_enricher_service_key')
    ),
    body := '{}'::jsonb,
    timeout_milliseconds := 5000
  )
  $$
);
