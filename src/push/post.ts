/** One request of a push, its answer reduced to what a table of statuses needs. */
export interface Post {
  readonly url: URL;
  readonly method?: "POST" | "HEAD";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly timeoutMs: number;
  /** Connect to this address while name, certificate and Host stay those of `url`: what the policy has checked is what is reached. */
  readonly address?: string | undefined;
  readonly ca?: string | undefined;
}

export type PostAnswer =
  | { readonly kind: "answer"; readonly status: number; readonly headers: Headers }
  | { readonly kind: "none"; readonly fault: unknown };

/** An answer's body is read so that the connection can be used again, up to here; more is cut off with its connection. */
const bodyBytesMax = 16_384;

/** Never rejects, never follows a redirect. Connections are kept and used again; certificates are checked, chain and name. */
export async function post(request: Post): Promise<PostAnswer> {
  const { url, method = "POST", headers, body, timeoutMs, address, ca } = request;
  const target = new URL(url);
  const pinned = address !== undefined && address !== url.hostname.replace(/^\[|\]$/g, "");
  if (pinned) target.hostname = address.includes(":") ? `[${address}]` : address;
  const tls = { ...(pinned ? { serverName: url.hostname } : {}), ...(ca === undefined ? {} : { ca }) };
  try {
    const response = await fetch(target, {
      method,
      headers: pinned ? { ...headers, host: url.host } : headers,
      ...(body === undefined ? {} : { body }),
      redirect: "manual",
      signal: AbortSignal.timeout(Math.max(1, Math.floor(timeoutMs))),
      ...(url.protocol === "https:" ? { tls } : {}),
    });
    void readOut(response);
    return { kind: "answer", status: response.status, headers: response.headers };
  } catch (fault) {
    return { kind: "none", fault };
  }
}

async function readOut(response: Response): Promise<void> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    for (let bytes = 0; bytes <= bodyBytesMax;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.byteLength;
    }
    await reader.cancel();
  } catch {
    // The status has been judged already; a body that breaks off changes nothing.
  }
}
