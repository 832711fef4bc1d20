/** The function's secrets, as `supabase secrets set` stores them. */

/** What the function is told by its secrets. */
export interface Settings {
  /** The gateway's base, without a slash at its end; null if it is missing or invalid. */
  gatewayUrl: string | null;
  /** By which the gateway trusts `callerAddressHeader`; null: it is not told the caller's address. */
  secret: string | null;
  /** The origins whose pages may call, or `["*"]`. */
  corsOrigins: string[];
  /** The longest silence of the gateway, in seconds. */
  seconds: number;
  /** The header in which the platform says from which address a request came. */
  callerAddressHeader: string;
  /** What is wrong with the secrets, each a sentence for the log. */
  faults: string[];
}

/** The gateway's longest answer, the count of a dry run, may take 60 seconds. */
const DEFAULT_SECONDS = 70;
/** Hosted Supabase gives up after 150 seconds without an answer. */
const MOST_SECONDS = 140;
/** The gateway refuses shorter ones. */
const SHORTEST_SECRET = 32;
/** Cloudflare, in front of hosted projects, sets it and lets no caller send it. */
const DEFAULT_CALLER_ADDRESS_HEADER = "cf-connecting-ip";

/** Read the secrets. One that is invalid is as good as missing, and is named in `faults`. */
export function readSettings(variable: (name: string) => string | undefined): Settings {
  const faults: string[] = [];
  const given = (name: string) => variable(name)?.trim() || null;

  function gatewayUrl(): string | null {
    const name = "MEDIA_ENRICHER_URL";
    const value = given(name);
    if (value === null) {
      faults.push(
        `${name} is not set. Set it to the gateway's URL: supabase secrets set ${name}=…`,
      );
      return null;
    }
    const url = URL.canParse(value) ? new URL(value) : null;
    const isBase = url !== null && ["http:", "https:"].includes(url.protocol) &&
      url.username + url.password + url.search + url.hash === "";
    if (!isBase) {
      faults.push(`${name} is not the URL of a gateway. Write it as https://media.example.com`);
      return null;
    }
    return url.href.replace(/\/+$/, "");
  }

  function secret(): string | null {
    const name = "MEDIA_ENRICHER_EDGE_FUNCTION_SECRET";
    const value = given(name);
    if (value === null) return null;
    if (value.length < SHORTEST_SECRET || !/^[\x21-\x7e]+$/.test(value)) {
      faults.push(
        `${name} is invalid, so the gateway is not told callers' addresses. ` +
          `Use at least ${SHORTEST_SECRET} letters and digits, and the gateway's own value.`,
      );
      return null;
    }
    return value;
  }

  function seconds(): number {
    const name = "MEDIA_ENRICHER_EDGE_FUNCTION_SECONDS";
    const value = given(name);
    if (value === null) return DEFAULT_SECONDS;
    const number = Number(value);
    if (number > 0 && number <= MOST_SECONDS) return number;
    faults.push(
      `${name}=${value} is invalid, so ${DEFAULT_SECONDS} s are used. ` +
        `Use a number above 0 and up to ${MOST_SECONDS}.`,
    );
    return DEFAULT_SECONDS;
  }

  function callerAddressHeader(): string {
    const name = "MEDIA_ENRICHER_CALLER_ADDRESS_HEADER";
    const value = given(name);
    if (value === null) return DEFAULT_CALLER_ADDRESS_HEADER;
    if (/^[a-z0-9-]+$/i.test(value)) return value.toLowerCase();
    faults.push(
      `${name}=${value} is not the name of a header, so ${DEFAULT_CALLER_ADDRESS_HEADER} is read.`,
    );
    return DEFAULT_CALLER_ADDRESS_HEADER;
  }

  const corsOrigins = (given("MEDIA_ENRICHER_CORS_ORIGINS") ?? "").split(",")
    .map((origin) => origin.trim()).filter((origin) => origin !== "");
  return {
    gatewayUrl: gatewayUrl(),
    secret: secret(),
    corsOrigins,
    seconds: seconds(),
    callerAddressHeader: callerAddressHeader(),
    faults,
  };
}
