import { createHash } from "node:crypto";
import type { Endpoint, Source } from "../../src/net/network.ts";
import { Header } from "../../src/sip/message/header.ts";
import { Method } from "../../src/sip/message/method.ts";
import { type AddressText, addressesOf } from "../../src/sip/message/read-address.ts";
import { readCSeq } from "../../src/sip/message/read-cseq.ts";
import { readNumber } from "../../src/sip/message/read-number.ts";
import { scan, ScanResult } from "../../src/sip/message/scan.ts";
import { MessageKind, SipView } from "../../src/sip/message/view.ts";
import { writeResponse } from "../../src/sip/message/write-response.ts";
import { MessageWriter } from "../../src/sip/message/writer.ts";
import { parseUriText, sameUri, unescapeUser, uriParam } from "../../src/sip/uri.ts";
import type { VirtualServer, VirtualWire } from "./virtual-network.ts";

/** One binding as the registrar keeps it. */
export interface VirtualBinding {
  readonly uri: string;
  readonly instance: string | undefined;
  readonly expiresAtMs: number;
  readonly callId: string;
  readonly cseq: number;
}

/** One REGISTER as it came in. */
export interface Heard {
  readonly atMs: number;
  readonly user: string;
  readonly view: SipView;
  readonly text: string;
  readonly source: Source;
  readonly cseq: number;
  readonly callId: string;
  readonly branch: string;
  /** Undefined when the REGISTER has no Expires header. */
  readonly expires: number | undefined;
  readonly contacts: readonly AddressText[];
  readonly authorization: string | undefined;
  readonly isRetransmission: boolean;
}

export interface Reply {
  readonly status: number;
  readonly reason?: string;
  /** `Name: value` lines. */
  readonly headers?: readonly string[];
}

/** What a registrar is made to do instead of its own answer; "own" lets it answer, "silence" keeps it quiet. */
export type Behaviour = (heard: Heard, registrar: VirtualRegistrar) => Reply | "own" | "silence";

export interface RegistrarOptions {
  readonly realm?: string;
  /** Password of a user; undefined: unknown user. Default: `p-<user>` for everybody. */
  readonly password?: (user: string) => string | undefined;
  /** Challenges nobody. */
  readonly open?: boolean;
  /** 401 with WWW-Authenticate (default) or 407 with Proxy-Authenticate. */
  readonly proxy?: boolean;
  readonly algorithms?: readonly ("MD5" | "SHA-256" | "SHA-512-256")[];
  readonly qop?: string | undefined;
  readonly opaque?: string;
  /** Times that a nonce may be used; Infinity by default. */
  readonly nonceUses?: number;
  /** How long a nonce is good. */
  readonly nonceLifeMs?: number;
  /** Whether a nonce that ran out is called stale. */
  readonly saysStale?: boolean;
  readonly expiresSecMin?: number;
  readonly expiresSecMax?: number;
  /** Most bindings of one address of record. */
  readonly contactsMax?: number;
  /** What happens at `contactsMax`: refuse like Kamailio, refuse barely like chan_pjsip, or replace like chan_sip. */
  readonly whenFull?: "refuse" | "refuseBarely" | "replace";
  /** Time from request to answer. */
  readonly thinkMs?: number;
  /** Requests answered a second, the others wait in a queue of `queueMax`; more are lost, as in a full socket buffer. */
  readonly perSec?: number;
  readonly queueMax?: number;
}

const nonceForever = 86_400_000;

/** A registrar after RFC 3261 §10.3, with the habits of real ones to choose from. */
export class VirtualRegistrar {
  readonly server: VirtualServer;
  options: RegistrarOptions;
  /** Looks at every REGISTER first. */
  behaviour: Behaviour | undefined;
  readonly heard: Heard[] = [];
  /** Set to false in big runs. */
  keepsHeard = true;
  requests = 0;
  retransmissions = 0;
  challenges = 0;
  accepted = 0;
  /** Requests that carried wrong credentials. */
  wrong = 0;
  dropped = 0;
  /** Says nothing at all, as if it were not there. */
  isSilent = false;
  readonly bindings = new Map<string, VirtualBinding[]>();
  readonly #wire: VirtualWire;
  readonly #writer = new MessageWriter(65_536);
  readonly #nonces = new Map<string, { readonly bornMs: number; uses: number }>();
  readonly #answered = new Map<string, Uint8Array>();
  readonly #branches = new Set<string>();
  #serial = 0;
  #busyUntilMs = 0;
  #waiting = 0;

  constructor(wire: VirtualWire, endpoint: Endpoint, options: RegistrarOptions = {}) {
    this.#wire = wire;
    this.options = options;
    this.server = wire.server(endpoint, (bytes, source) => this.#receive(bytes, source));
  }

  /** The bindings of a user that have not run out. */
  bindingsOf(user: string): readonly VirtualBinding[] {
    const now = this.#wire.clock.nowMs();
    return (this.bindings.get(user) ?? []).filter((binding) => binding.expiresAtMs > now);
  }

  /** Users with a binding now. */
  get registered(): number {
    let count = 0;
    for (const user of this.bindings.keys()) if (this.bindingsOf(user).length > 0) count++;
    return count;
  }

  /** A binding that somebody else made, such as the phone itself. */
  bind(user: string, uri: string, expiresSec = 600, instance?: string): void {
    const list = this.bindings.get(user) ?? [];
    list.push({ uri, instance, expiresAtMs: this.#wire.clock.nowMs() + expiresSec * 1000, callId: "phone", cseq: 1 });
    this.bindings.set(user, list);
  }

  /** Forgets how often nonces were used, as after a restart. */
  forgetNonces(): void {
    this.#nonces.clear();
  }

  #receive(bytes: Uint8Array, source: Source): void {
    this.requests++;
    if (this.isSilent) return;
    const { perSec, queueMax = 160, thinkMs = 0 } = this.options;
    const now = this.#wire.clock.nowMs();
    if (perSec === undefined) {
      if (thinkMs === 0) this.#handle(bytes, source);
      else this.#wire.after(thinkMs, () => this.#handle(bytes, source));
      return;
    }
    if (this.#waiting >= queueMax) {
      this.dropped++;
      return;
    }
    this.#waiting++;
    this.#busyUntilMs = Math.max(this.#busyUntilMs, now) + 1000 / perSec;
    this.#wire.schedule(this.#busyUntilMs, () => {
      this.#waiting--;
      if (thinkMs === 0) this.#handle(bytes, source);
      else this.#wire.after(thinkMs, () => this.#handle(bytes, source));
    });
  }

  #handle(bytes: Uint8Array, source: Source): void {
    if (this.isSilent) return;
    const view = new SipView();
    const result = scan(bytes, 0, bytes.length, view);
    if (result !== ScanResult.ok || view.kind !== MessageKind.request || view.method !== Method.register) return;
    const text = Buffer.from(bytes).toString("latin1");
    const branch = /branch=([^;\s]+)/.exec(text)?.[1] ?? "";
    const isRetransmission = this.#branches.has(branch);
    if (isRetransmission) this.retransmissions++;
    this.#branches.add(branch);
    const user = unescapeUser(parseUriText(/^To:.*<([^>]+)>/m.exec(text)?.[1] ?? "")?.user ?? "");
    const expires = readNumber(view, Header.expires);
    const heard: Heard = {
      atMs: this.#wire.clock.nowMs(),
      user,
      view,
      text,
      source,
      cseq: readCSeq(view),
      callId: view.value(Header.callId) ?? "",
      branch,
      expires: expires < 0 ? undefined : expires,
      contacts: addressesOf(view, Header.contact),
      authorization: view.value(Header.authorization) ?? view.value(Header.proxyAuthorization),
      isRetransmission,
    };
    if (this.keepsHeard) this.heard.push(heard);
    const known = isRetransmission ? this.#answered.get(branch) : undefined;
    if (known !== undefined) {
      this.server.reply(source, known);
      return;
    }
    const wish = this.behaviour?.(heard, this) ?? "own";
    if (wish === "silence") return;
    this.answer(heard, wish === "own" ? this.own(heard) : wish);
  }

  /** Sends a response to a REGISTER that was heard. */
  answer(heard: Heard, reply: Reply): void {
    const { source, view } = heard;
    const bytes = writeResponse(this.#writer, view, reply.status, reply.reason ?? reasonOf(reply.status), {
      toTag: "registrar",
      received: { address: source.address, port: source.port },
      ...(reply.headers === undefined ? {} : { headers: reply.headers }),
    }).slice();
    if (reply.status >= 200 && this.keepsHeard) this.#answered.set(heard.branch, bytes);
    this.server.reply(source, bytes);
  }

  /** What it would answer if left alone. */
  own(heard: Heard): Reply {
    const challenge = this.options.open === true ? undefined : this.#authenticate(heard);
    if (challenge !== undefined) return challenge;
    return this.#register(heard);
  }

  /** The header lines of a challenge with a nonce of its own. */
  challengeLines(stale = false): string[] {
    const { realm = "virtual.test", proxy = false, algorithms = ["MD5"], qop = "auth", opaque } = this.options;
    const hasQop = "qop" in this.options ? this.options.qop !== undefined : true;
    const name = proxy ? "Proxy-Authenticate" : "WWW-Authenticate";
    return algorithms.map((algorithm) => {
      const nonce = createHash("md5")
        .update(`nonce ${this.#serial++}`)
        .digest("hex");
      this.#nonces.set(nonce, { bornMs: this.#wire.clock.nowMs(), uses: 0 });
      let line = `${name}: Digest realm="${realm}", nonce="${nonce}", algorithm=${algorithm}`;
      if (hasQop) line += `, qop="${qop}"`;
      if (opaque !== undefined) line += `, opaque="${opaque}"`;
      if (stale) line += ", stale=true";
      return line;
    });
  }

  challenge(stale = false): Reply {
    this.challenges++;
    return { status: this.options.proxy === true ? 407 : 401, headers: this.challengeLines(stale) };
  }

  #authenticate(heard: Heard): Reply | undefined {
    if (heard.authorization === undefined) return this.challenge();
    const given = parametersOf(heard.authorization);
    const nonce = this.#nonces.get(given.nonce ?? "");
    const { nonceUses = Infinity, nonceLifeMs = nonceForever, saysStale = true } = this.options;
    const isOld =
      nonce === undefined || nonce.uses >= nonceUses || this.#wire.clock.nowMs() - nonce.bornMs > nonceLifeMs;
    if (isOld) return this.challenge(saysStale);
    nonce.uses++;
    const password = (this.options.password ?? ((user) => `p-${user}`))(heard.user);
    if (password === undefined || !isRight(given, password, heard.view.requestUri())) {
      this.wrong++;
      return this.challenge();
    }
    return undefined;
  }

  #register(heard: Heard): Reply {
    const { expiresSecMin = 0, expiresSecMax = 3600, contactsMax = Infinity, whenFull = "refuse" } = this.options;
    const now = this.#wire.clock.nowMs();
    let list = [...this.bindingsOf(heard.user)];
    if (heard.contacts.length === 0) {
      this.accepted++;
      return { status: 200, headers: contactLines(list, now) };
    }
    const wishes = heard.contacts.map((contact) => ({
      contact,
      sec: Math.min(Number(contact.params.get("expires") ?? heard.expires ?? 3600), expiresSecMax),
      instance: contact.params.get("+sip.instance"),
    }));
    if (wishes.some(({ sec }) => sec > 0 && sec < expiresSecMin)) {
      return { status: 423, reason: "Interval Too Brief", headers: [`Min-Expires: ${expiresSecMin}`] };
    }
    for (const { contact, sec, instance } of wishes) {
      const isSame = (one: VirtualBinding): boolean =>
        sameUri(one.uri, contact.uri) || (instance !== undefined && one.instance === instance && sec > 0);
      const stood = list.find(isSame);
      if (stood?.callId === heard.callId && stood.cseq >= heard.cseq) return { status: 500, reason: "Out Of Order" };
      list = list.filter((one) => !isSame(one));
      if (sec > 0) {
        list.push({
          uri: contact.uri,
          instance,
          expiresAtMs: now + sec * 1000,
          callId: heard.callId,
          cseq: heard.cseq,
        });
      }
    }
    if (list.length > contactsMax) {
      if (whenFull === "refuseBarely") return { status: 403 };
      if (whenFull === "refuse") {
        return {
          status: 503,
          reason: "Service Unavailable",
          headers: [
            "P-Registrar-Error: Too many registered contacts",
            ...contactLines(this.bindingsOf(heard.user), now),
          ],
        };
      }
      list = list.slice(-contactsMax);
    }
    this.bindings.set(heard.user, list);
    this.accepted++;
    return { status: 200, headers: contactLines(list, now) };
  }
}

function contactLines(list: readonly VirtualBinding[], nowMs: number): string[] {
  if (list.length === 0) return [];
  const values = list.map((one) => {
    const sec = Math.round((one.expiresAtMs - nowMs) / 1000);
    const instance = one.instance === undefined ? "" : `;+sip.instance="${one.instance}"`;
    return `<${one.uri}>;expires=${sec}${instance}`;
  });
  return [`Contact: ${values.join(", ")}`];
}

function isRight(given: Record<string, string>, password: string, uri: string): boolean {
  const name = { MD5: "md5", "SHA-256": "sha256", "SHA-512-256": "sha512-256" }[given.algorithm ?? "MD5"];
  if (name === undefined) return false;
  const hash = (text: string): string => createHash(name).update(text).digest("hex");
  const ha1 = hash(`${given.username}:${given.realm}:${password}`);
  const middle = given.qop === undefined ? "" : `${given.nc}:${given.cnonce}:${given.qop}:`;
  const body = given.qop === "auth-int" ? `:${hash("")}` : "";
  return (
    given.uri === uri && given.response === hash(`${ha1}:${given.nonce}:${middle}${hash(`REGISTER:${uri}${body}`)}`)
  );
}

/** The parameters of a Digest header value. */
export function parametersOf(value: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const match of value.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
    found[match[1]!.toLowerCase()] = match[2] ?? match[3] ?? "";
  }
  return found;
}

/** The `line` parameter of a Contact. */
export function lineOf(uri: string): string | undefined {
  const parsed = parseUriText(uri);
  return parsed === undefined ? undefined : uriParam(parsed, "line");
}

const reasons: Readonly<Record<number, string>> = {
  100: "Trying",
  200: "OK",
  301: "Moved Permanently",
  302: "Moved Temporarily",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  420: "Bad Extension",
  423: "Interval Too Brief",
  480: "Temporarily Unavailable",
  500: "Server Internal Error",
  503: "Service Unavailable",
};

function reasonOf(status: number): string {
  return reasons[status] ?? "Whatever";
}
