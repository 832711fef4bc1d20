/** What our NextAuth adds to its user and to its token. */

import 'next-auth'
import 'next-auth/jwt'

declare module 'next-auth' {
  interface User {
    appMetadata: unknown
  }
}

declare module 'next-auth/jwt' {
  interface JWT {
    appMetadata?: unknown
    /** Milliseconds since 1970. */
    signedInAt?: number
  }
}
