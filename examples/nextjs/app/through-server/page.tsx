import { Dashboard } from '@/components/dashboard'

export default function Page() {
  return <Dashboard serverRoute="/api/media-enricher/backfill" />
}
