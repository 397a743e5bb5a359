import { createHash, randomBytes } from "node:crypto";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { addressesOf, addressOf, tagOf } from "../sip/message/read-address.ts";
import { listValues } from "../sip/message/read-list.ts";
import { readNumber } from "../sip/message/read-number.ts";
import { topBranch } from "../sip/message/read-via.ts";
import { rewrite } from "../sip/message/rewrite.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { MessageKind, SipView } from "../sip/message/view.ts";
import { writeResponse } from "../sip/message/write-response.ts";
import { MessageWriter } from "../sip/message/writer.ts";
import { parseUriText } from "../sip/uri.ts";

const messageBytesMax = 65_536;
const expiresSecMax = 3_600;
const expiresSecDefault = 600;
const bindingsPerUserMax = 8;
/** RFC 3261 §16.6 step 3. */
const maxForwardsDefault = 70;

interface Binding {
  readonly contact: string;
  readonly expiresAtMs: number;
}

/** What the registrar did, for the demo's ladder. `peer` is the other end, `host:port`. */
interface RegistrarEvent {
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly firstLine: string;
  readonly cseq: string;
  /** Whose side of the call this passed: the user for whom the other end speaks. */
  readonly user: string;
}

interface DemoRegistrarOptions {
  readonly host: string;
  readonly port: number;
  readonly domain: string;
  readonly passwords: ReadonlyMap<string, string>;
  readonly onMessage?: (event: RegistrarEvent) => void;
}

/**
 * A small SIP registrar and record-routing stateless proxy over UDP, for `wakeline demo` and tests: digest MD5 with qop, bindings with
 * expiry, parallel forwarding to all bindings of a user, 407 to INVITEs from its own users. It knows nothing of Wakeline: it stands for
 * "somebody else's server".
 */
export class DemoRegistrar {
  readonly host: string;
  readonly #options: DemoRegistrarOptions;
  readonly #bindings = new Map<string, Binding[]>();
  /** One for all, enough for a demo. */
  readonly #nonce = randomBytes(16).toString("hex");
  /** The message in hand. */
  readonly #view = new SipView();
  readonly #writer = new MessageWriter(messageBytesMax);
  #socket: Bun.udp.Socket<"buffer"> | undefined;

  private constructor(options: DemoRegistrarOptions) {
    this.host = options.host;
    this.#options = options;
  }

  /** Rejects when the port is in use. */
  static async open(options: DemoRegistrarOptions): Promise<DemoRegistrar> {
    const registrar = new DemoRegistrar(options);
    registrar.#socket = await Bun.udpSocket({
      hostname: options.host,
      port: options.port,
      socket: { data: (_socket, bytes, port, address) => registrar.#onDatagram(bytes, port, address) },
    });
    return registrar;
  }

  get port(): number {
    return this.#socket?.port ?? 0;
  }

  /** Contact URIs bound to a user now. */
  bindings(user: string): readonly string[] {
    return this.#live(user).map((binding) => binding.contact);
  }

  close(): void {
    this.#socket?.close();
  }

  #onDatagram(bytes: Uint8Array, port: number, address: string): void {
    if (scan(bytes, 0, bytes.length, this.#view) !== ScanResult.ok) return;
    this.#report("in", `${address}:${port}`);
    if (this.#view.kind === MessageKind.response) this.#forwardResponse();
    else this.#onRequest(address, port);
  }

  #live(user: string): Binding[] {
    return (this.#bindings.get(user) ?? []).filter((binding) => binding.expiresAtMs > Date.now());
  }

  get #self(): string {
    return `${this.host}:${this.port}`;
  }

  #report(direction: "in" | "out", peer: string): void {
    const view = this.#view;
    const end = view.bytes.indexOf(13, view.from);
    const firstLine = Buffer.from(view.bytes.subarray(view.from, end)).toString("latin1");
    // A request comes from who is in From and goes to who is in To; its responses go the other way.
    const isOfCaller = (direction === "in") === (view.kind === MessageKind.request);
    const uri = addressOf(view, isOfCaller ? Header.from : Header.to)?.uri ?? "";
    this.#options.onMessage?.({
      direction,
      peer,
      firstLine,
      cseq: view.value(Header.cseq) ?? "",
      user: parseUriText(uri)?.user ?? "",
    });
  }

  #send(bytes: Uint8Array, port: number, address: string): void {
    if (scan(bytes, 0, bytes.length, this.#view) === ScanResult.ok) this.#report("out", `${address}:${port}`);
    this.#socket?.send(bytes, port, address);
  }

  #answer(address: string, port: number, status: number, reason: string, headers: readonly string[] = []): void {
    const options = { toTag: this.#ownTag(), headers, received: { address, port } };
    const bytes = writeResponse(this.#writer, this.#view, status, reason, options);
    this.#send(new Uint8Array(bytes), port, address);
  }

  /** The To-tag of our own answers, a function of the call: we keep no state. */
  #ownTag(): string {
    return createHash("md5")
      .update(this.#view.value(Header.callId) ?? "")
      .digest("hex")
      .slice(0, 10);
  }

  /** Whether the message carries a right digest answer of `user`; the nonce is one for all. */
  #proves(user: string, header: typeof Header.authorization | typeof Header.proxyAuthorization): boolean {
    const view = this.#view;
    const value = view.value(header);
    const password = this.#options.passwords.get(user);
    if (value === undefined || password === undefined) return false;
    const fields = new Map<string, string>();
    for (const match of value.matchAll(/(\w+)=(?:"([^"]*)"|([^,\s]+))/g)) {
      fields.set((match[1] ?? "").toLowerCase(), match[2] ?? match[3] ?? "");
    }
    const field = (name: string): string => fields.get(name) ?? "";
    const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
    const ha1 = md5(`${user}:${this.#options.domain}:${password}`);
    const ha2 = md5(`${view.methodText()}:${field("uri")}`);
    const expected = md5(`${ha1}:${this.#nonce}:${field("nc")}:${field("cnonce")}:${field("qop")}:${ha2}`);
    return field("username") === user && field("nonce") === this.#nonce && field("response") === expected;
  }

  #challenge(address: string, port: number, proxy: boolean): void {
    const value = `Digest realm="${this.#options.domain}", nonce="${this.#nonce}", algorithm=MD5, qop="auth"`;
    if (proxy) this.#answer(address, port, 407, "Proxy Authentication Required", [`Proxy-Authenticate: ${value}`]);
    else this.#answer(address, port, 401, "Unauthorized", [`WWW-Authenticate: ${value}`]);
  }

  #onRegister(address: string, port: number): void {
    const view = this.#view;
    const user = parseUriText(addressOf(view, Header.to)?.uri ?? "")?.user ?? "";
    if (!this.#options.passwords.has(user)) return this.#answer(address, port, 404, "Not Found");
    if (!this.#proves(user, Header.authorization)) return this.#challenge(address, port, false);
    const now = Date.now();
    const live = this.#live(user);
    const asked = readNumber(view, Header.expires);
    for (const contact of addressesOf(view, Header.contact)) {
      const own = contact.params.get("expires");
      const seconds = Math.min(Number(own ?? (asked < 0 ? expiresSecDefault : asked)), expiresSecMax);
      const at = live.findIndex((binding) => binding.contact === contact.uri);
      if (at >= 0) live.splice(at, 1);
      if (seconds > 0 && live.length < bindingsPerUserMax) {
        live.push({ contact: contact.uri, expiresAtMs: now + seconds * 1_000 });
      }
    }
    this.#bindings.set(user, live);
    const contacts = live.map(
      (binding) => `Contact: <${binding.contact}>;expires=${Math.round((binding.expiresAtMs - now) / 1_000)}`,
    );
    this.#answer(address, port, 200, "OK", contacts);
  }

  #onRequest(address: string, port: number): void {
    const view = this.#view;
    if (view.method === Method.register) return this.#onRegister(address, port);
    // An ACK to an answer of ours ends here.
    if (view.method === Method.ack && tagOf(view, Header.to) === this.#ownTag()) return;
    const hops = readNumber(view, Header.maxForwards);
    if (hops === 0) return this.#answer(address, port, 483, "Too Many Hops");
    const uri = view.requestUri();
    const target = parseUriText(uri);
    if (target === undefined) return this.#answer(address, port, 400, "Bad Request");
    const routed = listValues(view, Header.route).some((route) => route.includes(this.#self));
    const ours = target.host === this.#options.domain || `${target.host}:${target.port ?? 5060}` === this.#self;
    if (!ours) {
      // Only what follows a route that we recorded ourselves goes elsewhere.
      if (routed) this.#forward(view.keep(), uri, address, port, false);
      else if (view.method !== Method.ack) this.#answer(address, port, 403, "Forbidden");
      return;
    }
    const caller = parseUriText(addressOf(view, Header.from)?.uri ?? "");
    const isLocal = caller?.host === this.#options.domain && this.#options.passwords.has(caller.user ?? "");
    if (view.method === Method.invite && isLocal && !this.#proves(caller.user ?? "", Header.proxyAuthorization)) {
      return this.#challenge(address, port, true);
    }
    const live = this.#live(target.user ?? "");
    if (live.length === 0) {
      if (view.method !== Method.ack) this.#answer(address, port, 480, "Temporarily Unavailable");
      return;
    }
    const request = view.keep();
    for (const binding of live) this.#forward(request, binding.contact, address, port, true);
  }

  /** Stateless (RFC 3261 §16.11): the branch is a function of the branch that came, and carries the way back. */
  #forward(request: SipView, uri: string, address: string, port: number, record: boolean): void {
    const target = parseUriText(uri);
    if (target === undefined) return;
    const branch = createHash("md5")
      .update(`${topBranch(request)} ${uri}`)
      .digest("hex")
      .slice(0, 16);
    const hops = readNumber(request, Header.maxForwards);
    const back = `${port.toString(16)}-${Buffer.from(address).toString("hex")}`;
    const bytes = rewrite(
      request,
      {
        requestUri: uri,
        pushVia: `SIP/2.0/UDP ${this.#self};branch=z9hG4bK${branch}.${back}`,
        maxForwards: Math.max(0, (hops < 0 ? maxForwardsDefault : hops) - 1),
        drop: [Header.route, Header.proxyAuthorization],
        ...(record && request.method === Method.invite ? { pushRecordRoute: `<sip:${this.#self};lr>` } : {}),
      },
      this.#writer,
    );
    this.#send(new Uint8Array(bytes), target.port ?? 5060, target.host);
  }

  #forwardResponse(): void {
    const view = this.#view;
    const back = /\.([0-9a-f]+)-([0-9a-f]+)$/.exec(topBranch(view));
    if (back === null) return;
    const stripped = new Uint8Array(rewrite(view, { removeTopVia: true }, this.#writer));
    this.#send(stripped, Number.parseInt(back[1] ?? "0", 16), Buffer.from(back[2] ?? "", "hex").toString());
  }
}
