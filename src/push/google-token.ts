import { importPKCS8, SignJWT } from "jose";
import type { Clock } from "../time/clock.ts";
import type { Trust } from "./endpoint.ts";

/** What is used of a service account's JSON file. */
export interface ServiceAccount {
  readonly projectId: string;
  readonly clientEmail: string;
  readonly privateKeyPem: string;
  readonly privateKeyId: string | undefined;
  readonly tokenUri: string;
}

export type ServiceAccountResult =
  | { readonly ok: true; readonly account: ServiceAccount }
  | { readonly ok: false; readonly text: string };

const googleTokenUri = "https://oauth2.googleapis.com/token";

export function readServiceAccount(text: string): ServiceAccountResult {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, text: "service account file is not JSON" };
  }
  const fields = (typeof json === "object" && json !== null ? json : {}) as Readonly<Record<string, unknown>>;
  const { project_id, client_email, private_key, private_key_id, token_uri } = fields;
  const missing = Object.entries({ project_id, client_email, private_key })
    .filter(([, value]) => typeof value !== "string" || value === "")
    .map(([name]) => name);
  if (missing.length > 0) return { ok: false, text: `service account file lacks ${missing.join(", ")}` };
  return {
    ok: true,
    account: {
      projectId: String(project_id),
      clientEmail: String(client_email),
      privateKeyPem: String(private_key),
      privateKeyId: typeof private_key_id === "string" ? private_key_id : undefined,
      tokenUri: typeof token_uri === "string" ? token_uri : googleTokenUri,
    },
  };
}

const scope = "https://www.googleapis.com/auth/firebase.messaging";
const assertionSec = 3_600;
/** A token is renewed in the background from here on, so that no call waits for it … */
const renewBeforeMs = 600_000;
/** … and not used any more from here on. */
const staleBeforeMs = 30_000;
const requestMsMax = 4_000;
const answerCharsMax = 16_384;

/** RFC 6749 §5.2, as Google uses it for assertions (RFC 7523 §3.1). */
export const tokenRefusals: Readonly<Record<string, string>> = {
  invalid_grant: "Google does not take the assertion: the key was deleted, or this machine's clock is wrong",
  invalid_client: "Google does not know the service account",
  unauthorized_client: "the service account may not do this",
};

/** Google said no: the service account, not the network. */
export class TokenRefused extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(`access token refused: ${reason}`);
    this.reason = reason;
  }
}

interface AccessToken {
  readonly value: string;
  readonly expiresAtMs: number;
}

/** Access tokens of a service account: a signed assertion (RFC 7523) exchanged at the token endpoint, kept and renewed ahead of time. */
export class GoogleToken {
  readonly #account: ServiceAccount;
  readonly #endpoint: URL;
  readonly #trust: Trust;
  readonly #clock: Clock;
  #token: AccessToken | undefined;
  #fetching: Promise<AccessToken> | undefined;

  constructor(account: ServiceAccount, endpoint: URL, trust: Trust, clock: Clock) {
    this.#account = account;
    this.#endpoint = endpoint;
    this.#trust = trust;
    this.#clock = clock;
  }

  /** Rejects with `TokenRefused`, or with what went wrong on the way. */
  async value(): Promise<string> {
    const leftMs = (this.#token?.expiresAtMs ?? 0) - this.#clock.nowMs();
    if (this.#token === undefined || leftMs < staleBeforeMs) return (await this.#renew()).value;
    if (leftMs < renewBeforeMs) this.#renew().catch(() => undefined); // the present one still serves
    return this.#token.value;
  }

  /** Forgets `value` (refused with 401), unless another has taken its place already. */
  drop(value: string): void {
    if (this.#token?.value === value) this.#token = undefined;
  }

  #renew(): Promise<AccessToken> {
    this.#fetching ??= this.#fetch()
      .then((token) => (this.#token = token))
      .finally(() => {
        this.#fetching = undefined;
      });
    return this.#fetching;
  }

  async #fetch(): Promise<AccessToken> {
    const response = await fetch(this.#endpoint, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({
        grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion: await this.#assertion(),
      }).toString(),
      redirect: "manual",
      signal: AbortSignal.timeout(requestMsMax),
      ...(this.#trust.ca === undefined ? {} : { tls: { ca: this.#trust.ca } }),
    });
    const text = (await response.text()).slice(0, answerCharsMax);
    const { access_token, expires_in, error } = readObject(text);
    if (response.status >= 500 || response.status === 429) throw new Error(`token endpoint: status ${response.status}`);
    if (!response.ok || typeof access_token !== "string")
      throw new TokenRefused(typeof error === "string" ? error : `status ${response.status}`);
    const lifeSec = typeof expires_in === "number" && expires_in > 0 ? expires_in : assertionSec;
    return { value: access_token, expiresAtMs: this.#clock.nowMs() + lifeSec * 1000 };
  }

  async #assertion(): Promise<string> {
    const { clientEmail, privateKeyPem, privateKeyId, tokenUri } = this.#account;
    const nowSec = Math.floor(this.#clock.wallMs() / 1000);
    return new SignJWT({ scope })
      .setProtectedHeader({ alg: "RS256", typ: "JWT", ...(privateKeyId === undefined ? {} : { kid: privateKeyId }) })
      .setIssuer(clientEmail)
      .setAudience(tokenUri)
      .setIssuedAt(nowSec)
      .setExpirationTime(nowSec + assertionSec)
      .sign(await importPKCS8(privateKeyPem, "RS256"));
  }
}

function readObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null ? (json as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
