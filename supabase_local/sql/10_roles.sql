-- The roles of a hosted Supabase database, with their real attributes. Run by `supabase_admin`,
-- the superuser that initdb made; nobody else is one, `postgres` included.

create role postgres login createdb createrole replication bypassrls;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_auth_admin login noinherit createrole;
create role supabase_storage_admin login noinherit createrole;

grant anon, authenticated, service_role to authenticator, postgres, supabase_storage_admin
  with inherit true, set true;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;

alter database postgres owner to postgres;
alter schema public owner to postgres;
create schema extensions authorization postgres;
grant usage on schema extensions to public;
grant usage on schema public to anon, authenticated, service_role;
revoke create on schema public from public;

-- As on a project where 'expose new tables' is off (the default since 2026): the API roles can
-- neither read nor write what `postgres` creates until it is granted. What Supabase leaves behind
-- stays here too (truncate, references, trigger), and so does the EXECUTE on functions that
-- Postgres itself gives to PUBLIC: a migration that forgets to revoke it should fail its tests.
alter default privileges for role postgres in schema public
  grant truncate, references, trigger on tables to anon, authenticated, service_role;

create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;
