import type { NextConfig } from 'next'

process.env.NEXT_TELEMETRY_DISABLED = '1'

const config: NextConfig = {
  poweredByHeader: false,
  // Else an API route of the Pages Router loads it as Node does, outside of Next.js, and it throws.
  transpilePackages: ['server-only'],
}

export default config
