-- Who may do what in the demo's bucket, as a frontend with tenants would have it: a signed-in user
-- reads and writes in the folder of their tenant, and nowhere else. Without this, a user could
-- upload into another tenant's folder, and so put rows into that tenant's view.
create policy "demo: members write in their tenant's folder" on storage.objects
  for insert to authenticated
  with check (
    bucket_id = 'dashboard-assets'
    and (storage.foldername(name))[1] = (select public.media_caller_tenant_id()::text)
  );
create policy "demo: members read in their tenant's folder" on storage.objects
  for select to authenticated
  using (
    bucket_id = 'dashboard-assets'
    and (storage.foldername(name))[1] = (select public.media_caller_tenant_id()::text)
  );
