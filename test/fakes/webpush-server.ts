import { createDecipheriv, createECDH, createHmac, type ECDH, randomBytes } from "node:crypto";

export interface WebPushFakeRequest {
  readonly path: string;
  readonly headers: Headers;
  /** What the browser would hand to the service worker; undefined when it could not be decrypted. */
  readonly text: string | undefined;
  readonly bodyBytes: number;
}

export interface WebPushFakeAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WebPushFake {
  readonly url: URL;
  readonly requests: WebPushFakeRequest[];
  answer: (request: WebPushFakeRequest) => WebPushFakeAnswer | "silence";
  /** A browser's subscription at this service, as JSON. */
  subscribe(): string;
  close(): Promise<void>;
}

interface Browser {
  readonly ecdh: ECDH;
  readonly auth: Buffer;
}

/** HKDF with one block of output (RFC 5869). */
function hkdf(salt: Uint8Array, key: Uint8Array, info: Uint8Array, bytes: number): Buffer {
  const extracted = createHmac("sha256", salt).update(key).digest();
  return createHmac("sha256", extracted)
    .update(info)
    .update(Buffer.from([1]))
    .digest()
    .subarray(0, bytes);
}

/** RFC 8291 §3.4 and RFC 8188, written from the RFC so that the sender's library is not checked by itself. */
function decrypt(body: Buffer, { ecdh, auth }: Browser): string | undefined {
  try {
    const salt = body.subarray(0, 16);
    const idLength = body.readUInt8(20);
    const serverKey = body.subarray(21, 21 + idLength);
    const sealed = body.subarray(21 + idLength);
    const info = Buffer.concat([Buffer.from("WebPush: info\0"), ecdh.getPublicKey(), serverKey]);
    const secret = hkdf(auth, ecdh.computeSecret(serverKey), info, 32);
    const key = hkdf(salt, secret, Buffer.from("Content-Encoding: aes128gcm\0"), 16);
    const nonce = hkdf(salt, secret, Buffer.from("Content-Encoding: nonce\0"), 12);
    const opener = createDecipheriv("aes-128-gcm", key, nonce);
    opener.setAuthTag(sealed.subarray(-16));
    const padded = Buffer.concat([opener.update(sealed.subarray(0, -16)), opener.final()]);
    const end = padded.lastIndexOf(2); // delimiter of the last record
    return end < 0 ? undefined : padded.subarray(0, end).toString();
  } catch {
    return undefined;
  }
}

/** A push service on 127.0.0.1, over plain HTTP or, with a certificate, TLS. */
export function startWebPushFake(tls?: { readonly cert: string; readonly key: string }): WebPushFake {
  const browsers = new Map<string, Browser>();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    ...(tls === undefined ? {} : { tls }),
    async fetch(request) {
      const path = new URL(request.url).pathname;
      const body = Buffer.from(await request.arrayBuffer());
      const browser = browsers.get(path);
      const received: WebPushFakeRequest = {
        path,
        headers: request.headers,
        text: browser && decrypt(body, browser),
        bodyBytes: body.length,
      };
      fake.requests.push(received);
      const answer = fake.answer(received);
      if (answer === "silence") return new Promise<Response>(() => undefined);
      return new Response(null, { status: answer.status, headers: answer.headers ?? {} });
    },
  });
  const url = new URL(`${tls === undefined ? "http" : "https"}://localhost:${server.port}`);
  const fake: WebPushFake = {
    url,
    requests: [],
    answer: () => ({ status: 201, headers: { location: `${url.origin}/message/1` } }),
    subscribe() {
      const ecdh = createECDH("prime256v1");
      const p256dh = ecdh.generateKeys("base64url");
      const auth = randomBytes(16);
      const path = `/push/${randomBytes(8).toString("hex")}`;
      browsers.set(path, { ecdh, auth });
      const keys = { p256dh, auth: auth.toString("base64url") };
      return JSON.stringify({ endpoint: `${url.origin}${path}`, expirationTime: null, keys });
    },
    close: () => server.stop(true),
  };
  return fake;
}
