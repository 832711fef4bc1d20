import type { NextConfig } from 'next'

process.env.NEXT_TELEMETRY_DISABLED = '1'

const config: NextConfig = {
  poweredByHeader: false,
}

export default config
