import type { Metadata } from 'next'
import Link from 'next/link'
import type { ReactNode } from 'react'

import './globals.css'

export const metadata: Metadata = { title: 'Media Enricher' }

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <nav>
          <Link href="/">With the user’s token</Link>
          <Link href="/through-server">Through the server route</Link>
        </nav>
        <main>{children}</main>
      </body>
    </html>
  )
}
