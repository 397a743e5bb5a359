import { createHash, randomBytes } from "node:crypto";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { addressOf, tagOf } from "../sip/message/read-address.ts";
import { readCSeq, readCSeqMethod } from "../sip/message/read-cseq.ts";
import { listValues } from "../sip/message/read-list.ts";
import { topBranch } from "../sip/message/read-via.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { MessageKind, SipView } from "../sip/message/view.ts";

const retransmitMs = 500;
const retransmissionsMax = 6;

/** An audio offer or answer that names no real port: the demo sends no media. */
function demoSdp(user: string): string {
  return [
    "v=0",
    `o=${user} 1 1 IN IP4 127.0.0.1`,
    "s=-",
    "c=IN IP4 127.0.0.1",
    "t=0 0",
    "m=audio 40000 RTP/AVP 8 0",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=sendrecv",
    "",
  ].join("\r\n");
}

export interface UaMessage {
  readonly direction: "in" | "out";
  readonly firstLine: string;
  readonly cseq: string;
  readonly text: string;
}

/** Things that happen to a call, in the order in which they do. */
export type CallStep =
  | { readonly kind: "provisional"; readonly status: number }
  | { readonly kind: "answered" }
  | { readonly kind: "failed"; readonly status: number; readonly reason: string }
  | { readonly kind: "ended" }
  | { readonly kind: "cancelled"; readonly reason: string | undefined };

interface Dialog {
  readonly callId: string;
  readonly localTag: string;
  readonly localUri: string;
  remoteTag: string;
  readonly remoteUri: string;
  target: string;
  routes: string[];
  cseq: number;
}

/** One call of a `DemoUa`, in either direction. */
export class UaCall {
  readonly callId: string;
  readonly from: string;
  readonly #waiting: { readonly wanted: (step: CallStep) => boolean; readonly resolve: (step: CallStep) => void }[] =
    [];
  readonly #steps: CallStep[] = [];
  readonly acts: {
    bye(): void;
    cancel(): void;
    answer(): void;
    ring(): void;
    decline(status: number, reason: string): void;
  };

  constructor(callId: string, from: string, acts: UaCall["acts"]) {
    this.callId = callId;
    this.from = from;
    this.acts = acts;
  }

  note(step: CallStep): void {
    this.#steps.push(step);
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.wanted(step)) waiting.resolve(step);
      else this.#waiting.push(waiting);
    }
  }

  /** Resolves with the first such step, past or future. Never rejects: bound it where it is awaited. */
  until<K extends CallStep["kind"]>(
    kind: K,
    also: (step: Extract<CallStep, { kind: K }>) => boolean = () => true,
  ): Promise<Extract<CallStep, { kind: K }>> {
    const wanted = (step: CallStep): step is Extract<CallStep, { kind: K }> =>
      step.kind === kind && also(step as Extract<CallStep, { kind: K }>);
    const past = this.#steps.find(wanted);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => {
      this.#waiting.push({ wanted, resolve: (step) => resolve(step as Extract<CallStep, { kind: K }>) });
    });
  }
}

export interface UaOptions {
  readonly user: string;
  readonly domain: string;
  readonly password: string;
  /** `UDP 127.0.0.1:5070` or `WSS phone.invalid`: transport and sent-by of our Via. */
  readonly sentBy: () => string;
  readonly contact: () => string;
  readonly isReliable: boolean;
  /** The message, one char a byte. */
  readonly send: (text: string) => void;
  readonly onMessage?: (message: UaMessage) => void;
  readonly onCall?: (call: UaCall) => void;
}

/**
 * A plain SIP user agent for the demo and for tests: calls, answers, cancels, hangs up, answers challenges. It works on whole messages
 * over any transport: give it what arrives by `receive`, it sends by `send`.
 */
export class DemoUa {
  readonly #options: UaOptions;
  readonly #view = new SipView();
  readonly #calls = new Map<string, UaCall>();
  readonly #onResponse = new Map<string, (status: number) => void>();
  readonly #resend = new Map<string, ReturnType<typeof setInterval>>();

  constructor(options: UaOptions) {
    this.#options = options;
  }

  /** Registers once; resolves with the final status. */
  register(expiresSec: number): Promise<number> {
    const { user, domain } = this.#options;
    const callId = token();
    const tag = token();
    return new Promise((resolve) => {
      const attempt = (cseq: number, authorization: string): void => {
        this.#request(
          "REGISTER",
          `sip:${domain}`,
          [
            `From: <sip:${user}@${domain}>;tag=${tag}`,
            `To: <sip:${user}@${domain}>`,
            `Call-ID: ${callId}`,
            `CSeq: ${cseq} REGISTER`,
            `Contact: <${this.#options.contact()}>`,
            `Expires: ${expiresSec}`,
            ...(authorization === "" ? [] : [authorization]),
          ],
          "",
          (status) => {
            if (status < 200) return;
            if (status === 401 && authorization === "") attempt(cseq + 1, this.#authorize("REGISTER", `sip:${domain}`));
            else resolve(status);
          },
        );
      };
      attempt(1, "");
    });
  }

  /** Calls `user` at our own domain. */
  call(to: string): UaCall {
    const { user, domain } = this.#options;
    const uri = `sip:${to}@${domain}`;
    const dialog: Dialog = {
      callId: token(),
      localTag: token(),
      localUri: `sip:${user}@${domain}`,
      remoteTag: "",
      remoteUri: uri,
      target: uri,
      routes: [],
      cseq: 0,
    };
    let via = "";
    const call = new UaCall(dialog.callId, dialog.localUri, {
      bye: () => this.#inDialog(dialog, "BYE", "", (status) => status >= 200 && call.note({ kind: "ended" })),
      cancel: () => this.#cancel(dialog, via),
      answer: () => {},
      ring: () => {},
      decline: () => {},
    });
    this.#calls.set(dialog.callId, call);
    const attempt = (authorization: string): void => {
      dialog.cseq++;
      via = this.#request(
        "INVITE",
        uri,
        [
          `From: <${dialog.localUri}>;tag=${dialog.localTag}`,
          `To: <${uri}>`,
          `Call-ID: ${dialog.callId}`,
          `CSeq: ${dialog.cseq} INVITE`,
          `Contact: <${this.#options.contact()}>`,
          "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS",
          ...(authorization === "" ? [] : [authorization]),
        ],
        demoSdp(user),
        (status) => {
          if (status < 200) return call.note({ kind: "provisional", status });
          if (status < 300) {
            this.#learn(dialog);
            this.#ack(dialog);
            return call.note({ kind: "answered" });
          }
          this.#ackFailure(uri, via, dialog);
          if ((status === 401 || status === 407) && authorization === "") attempt(this.#authorize("INVITE", uri));
          else call.note({ kind: "failed", status, reason: this.#view.reason() });
        },
      );
    };
    attempt("");
    return call;
  }

  /** One whole SIP message that arrived. */
  receive(bytes: Uint8Array): void {
    if (scan(bytes, 0, bytes.length, this.#view) !== ScanResult.ok) return;
    this.#report("in", Buffer.from(bytes).toString("latin1"));
    if (this.#view.kind === MessageKind.response) this.#receiveResponse();
    else this.#receiveRequest();
  }

  close(): void {
    for (const timer of this.#resend.values()) clearInterval(timer);
    this.#resend.clear();
  }

  #receiveResponse(): void {
    const view = this.#view;
    const branch = topBranch(view);
    const method = readCSeqMethod(view);
    // A CANCEL has the branch of its INVITE (RFC 3261 §9.1), and nothing here waits for its answer.
    if (method === Method.cancel) return;
    this.#stopResending(branch);
    const handler = this.#onResponse.get(branch);
    if (handler === undefined) return;
    if (view.status >= 200 && method !== Method.invite) this.#onResponse.delete(branch);
    handler(view.status);
  }

  #receiveRequest(): void {
    const view = this.#view;
    const callId = view.value(Header.callId) ?? "";
    const known = this.#calls.get(callId);
    switch (view.method) {
      case Method.invite:
        if (known === undefined) this.#incoming(callId);
        return;
      case Method.ack:
        return known?.note({ kind: "answered" });
      case Method.bye:
        this.#respond(200, "OK");
        return known?.note({ kind: "ended" });
      case Method.cancel: {
        const reason = view.value(Header.reason);
        this.#respond(200, "OK");
        known?.acts.decline(487, "Request Terminated");
        return known?.note({ kind: "cancelled", reason });
      }
      default:
        this.#respond(200, "OK");
    }
  }

  #incoming(callId: string): void {
    const view = this.#view.keep();
    const from = addressOf(view, Header.from);
    const tag = token();
    const dialog: Dialog = {
      callId,
      localTag: tag,
      localUri: addressOf(view, Header.to)?.uri ?? "",
      remoteTag: tagOf(view, Header.from) ?? "",
      remoteUri: from?.uri ?? "",
      target: addressOf(view, Header.contact)?.uri ?? "",
      routes: listValues(view, Header.recordRoute),
      cseq: 0,
    };
    let final = false;
    const finish = (status: number, reason: string, extra: readonly string[], body: string): void => {
      if (final) return;
      final = true;
      this.#respondTo(view, status, reason, tag, extra, body);
    };
    const call: UaCall = new UaCall(callId, dialog.remoteUri, {
      bye: () => this.#inDialog(dialog, "BYE", "", (status) => status >= 200 && call.note({ kind: "ended" })),
      cancel: () => {},
      ring: () => this.#respondTo(view, 180, "Ringing", tag, [`Contact: <${this.#options.contact()}>`], ""),
      answer: () =>
        finish(
          200,
          "OK",
          [`Contact: <${this.#options.contact()}>`, "Content-Type: application/sdp"],
          demoSdp(this.#options.user),
        ),
      decline: (status, reason) => finish(status, reason, [], ""),
    });
    this.#calls.set(callId, call);
    this.#options.onCall?.(call);
  }

  /** Remote tag, target and route set from the 2xx in the view (RFC 3261 §12.1.2). */
  #learn(dialog: Dialog): void {
    dialog.remoteTag = tagOf(this.#view, Header.to) ?? "";
    dialog.target = addressOf(this.#view, Header.contact)?.uri ?? dialog.target;
    dialog.routes = listValues(this.#view, Header.recordRoute).toReversed();
  }

  #inDialog(dialog: Dialog, method: string, body: string, onResponse: (status: number) => void): void {
    dialog.cseq++;
    this.#request(method, dialog.target, this.#dialogHeaders(dialog, dialog.cseq, method), body, onResponse);
  }

  #dialogHeaders(dialog: Dialog, cseq: number, method: string): string[] {
    return [
      ...dialog.routes.map((route) => `Route: ${route}`),
      `From: <${dialog.localUri}>;tag=${dialog.localTag}`,
      `To: <${dialog.remoteUri}>${dialog.remoteTag === "" ? "" : `;tag=${dialog.remoteTag}`}`,
      `Call-ID: ${dialog.callId}`,
      `CSeq: ${cseq} ${method}`,
    ];
  }

  /** ACK to a 2xx: a request of its own, sent once (a repeated 2xx brings it again). */
  #ack(dialog: Dialog): void {
    this.#send(
      this.#compose(
        "ACK",
        dialog.target,
        newVia(this.#options.sentBy()),
        this.#dialogHeaders(dialog, dialog.cseq, "ACK"),
        "",
      ),
    );
  }

  /** ACK to a 3xx–6xx belongs to the INVITE's transaction (RFC 3261 §17.1.1.3). */
  #ackFailure(uri: string, via: string, dialog: Dialog): void {
    const to = this.#view.value(Header.to) ?? "";
    this.#send(
      this.#compose(
        "ACK",
        uri,
        via,
        [
          `From: <${dialog.localUri}>;tag=${dialog.localTag}`,
          `To: ${to}`,
          `Call-ID: ${dialog.callId}`,
          `CSeq: ${readCSeq(this.#view)} ACK`,
        ],
        "",
      ),
    );
  }

  #cancel(dialog: Dialog, via: string): void {
    this.#send(
      this.#compose(
        "CANCEL",
        dialog.remoteUri,
        via,
        [
          `From: <${dialog.localUri}>;tag=${dialog.localTag}`,
          `To: <${dialog.remoteUri}>`,
          `Call-ID: ${dialog.callId}`,
          `CSeq: ${dialog.cseq} CANCEL`,
        ],
        "",
      ),
    );
  }

  /** Sends a request, again until something answers over UDP; returns its Via value. */
  #request(
    method: string,
    uri: string,
    headers: readonly string[],
    body: string,
    onResponse: (status: number) => void,
  ): string {
    const via = newVia(this.#options.sentBy());
    const branch = via.slice(via.indexOf("branch=") + 7);
    const text = this.#compose(method, uri, via, headers, body);
    this.#onResponse.set(branch, onResponse);
    this.#send(text);
    if (!this.#options.isReliable) {
      let left = retransmissionsMax;
      this.#resend.set(
        branch,
        setInterval(() => {
          if (left-- <= 0) this.#stopResending(branch);
          else this.#send(text);
        }, retransmitMs),
      );
    }
    return via;
  }

  #stopResending(branch: string): void {
    clearInterval(this.#resend.get(branch));
    this.#resend.delete(branch);
  }

  #compose(method: string, uri: string, via: string, headers: readonly string[], body: string): string {
    const type = body === "" ? [] : ["Content-Type: application/sdp"];
    const lines = [`${method} ${uri} SIP/2.0`, `Via: ${via}`, "Max-Forwards: 70", ...headers, ...type];
    return `${lines.join("\r\n")}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  }

  #respond(status: number, reason: string): void {
    this.#respondTo(this.#view, status, reason, token(), [], "");
  }

  #respondTo(
    request: SipView,
    status: number,
    reason: string,
    tag: string,
    extra: readonly string[],
    body: string,
  ): void {
    const copied: string[] = [];
    for (let i = 0; i < request.headerCount; i++) {
      const id = request.id(i);
      if (id === Header.via) copied.push(`Via: ${request.text(i)}`);
      else if (id === Header.recordRoute && request.method === Method.invite)
        copied.push(`Record-Route: ${request.text(i)}`);
      else if (id === Header.from) copied.push(`From: ${request.text(i)}`);
      else if (id === Header.to) {
        copied.push(`To: ${request.text(i)}${tagOf(request, Header.to) === undefined ? `;tag=${tag}` : ""}`);
      } else if (id === Header.callId) copied.push(`Call-ID: ${request.text(i)}`);
      else if (id === Header.cseq) copied.push(`CSeq: ${request.text(i)}`);
    }
    const head = [`SIP/2.0 ${status} ${reason}`, ...copied, ...extra, `Content-Length: ${Buffer.byteLength(body)}`];
    this.#send(`${head.join("\r\n")}\r\n\r\n${body}`);
  }

  /** Authorization or Proxy-Authorization for the challenge in the view (RFC 3261 §22). */
  #authorize(method: string, uri: string): string {
    const view = this.#view;
    const proxy = view.status === 407;
    const value = view.value(proxy ? Header.proxyAuthenticate : Header.wwwAuthenticate) ?? "";
    const field = (name: string): string => new RegExp(`${name}="?([^",]*)`, "i").exec(value)?.[1] ?? "";
    const { user, password } = this.#options;
    const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
    const cnonce = token();
    const ha1 = md5(`${user}:${field("realm")}:${password}`);
    const response = md5(`${ha1}:${field("nonce")}:00000001:${cnonce}:auth:${md5(`${method}:${uri}`)}`);
    const name = proxy ? "Proxy-Authorization" : "Authorization";
    return `${name}: Digest username="${user}", realm="${field("realm")}", nonce="${field("nonce")}", uri="${uri}", response="${response}", algorithm=MD5, cnonce="${cnonce}", qop=auth, nc=00000001`;
  }

  #send(text: string): void {
    this.#report("out", text);
    this.#options.send(text);
  }

  #report(direction: "in" | "out", text: string): void {
    const firstLine = text.slice(0, text.indexOf("\r\n"));
    const cseq = /\r\nCSeq: *([^\r]*)/i.exec(text)?.[1] ?? "";
    this.#options.onMessage?.({ direction, firstLine, cseq, text });
  }
}

function newVia(sentBy: string): string {
  return `SIP/2.0/${sentBy};rport;branch=z9hG4bK${token()}`;
}

function token(): string {
  return randomBytes(8).toString("hex");
}
