import { createHash } from "node:crypto";
import { SipText } from "../fakes/sip-text.ts";
import {
  callerSide,
  dialogRequest,
  type DialogSide,
  type Extra,
  newRequest,
  type Party,
  responseTo,
  sameTransaction,
  SipInbox,
} from "./sip.ts";

const realm = "provider.example";
const nonce = "0123456789abcdef";

interface Binding {
  readonly contact: string;
  readonly port: number;
  readonly address: string;
}

/** Somebody's SIP server with one UDP socket: it registers with digest, and sends and takes what a test says. */
export class Provider implements Party {
  readonly domain = "provider.example";
  readonly inbox = new SipInbox("the server");
  /** Every REGISTER that came, oldest first. */
  readonly registers: SipText[] = [];
  /** While false, REGISTER is not answered. */
  answers = true;
  readonly #address: string;
  readonly #passwords = new Map<string, string>();
  readonly #bindings = new Map<string, Binding>();
  #socket: Bun.udp.Socket<"buffer"> | undefined;

  private constructor(address: string) {
    this.#address = address;
  }

  static async open(address = "127.0.0.1"): Promise<Provider> {
    const provider = new Provider(address);
    provider.#socket = await Bun.udpSocket({
      hostname: address,
      port: 0,
      socket: {
        data: (_socket, bytes, port, from) => provider.#receive(bytes.toString("latin1"), port, from),
        // What it sends to a shard that is not there right now is lost, as anywhere.
        error: () => {},
      },
    });
    return provider;
  }

  get host(): string {
    return `${this.#address}:${this.#socket?.port ?? 0}`;
  }
  get sentBy(): string {
    return `UDP ${this.host}`;
  }
  get contact(): string {
    return `sip:bob@${this.host}`;
  }

  close(): void {
    this.#socket?.close();
  }

  addAccount(username: string, password: string): void {
    this.#passwords.set(username, password);
  }

  isBound(username: string): boolean {
    return this.#bindings.has(username);
  }

  registersOf(username: string): SipText[] {
    return this.registers.filter((request) => request.get("To").includes(`sip:${username}@`));
  }

  gets(name: string, callId?: string): Promise<SipText> {
    return this.inbox.gets(name, callId);
  }

  /** A request outside dialogs, to Wakeline's Contact of the account. `staysIn`: the server wants to see what follows. */
  sends(method: string, username: string, extra: Extra = {}, staysIn = true): SipText {
    const binding = this.#bindings.get(username);
    if (binding === undefined) throw new Error(`${username} is not registered`);
    const request = newRequest(
      this,
      method,
      binding.contact,
      { from: '"Bob" <sip:bob@far.example>', to: `<sip:${username}@${this.domain}>` },
      {
        ...extra,
        lines: staysIn ? [`Record-Route: <sip:${this.host};lr>`, ...(extra.lines ?? [])] : (extra.lines ?? []),
      },
    );
    this.#send(request, binding);
    return request;
  }

  inDialog(method: string, side: DialogSide, cseq: number, extra: Extra = {}): SipText {
    const request = dialogRequest(this, method, side, cseq, extra);
    this.#send(request, this.#at(side.target));
    return request;
  }

  acks(invite: SipText, answer: SipText, extra: Extra = {}): void {
    this.inDialog("ACK", callerSide(invite, answer), invite.cseq, extra);
  }

  acksFailure(invite: SipText, answer: SipText): void {
    this.#send(sameTransaction("ACK", invite, answer.get("To")), this.#at(invite.uri));
  }

  cancels(invite: SipText, ...lines: string[]): void {
    this.#send(sameTransaction("CANCEL", invite, invite.get("To"), lines), this.#at(invite.uri));
  }

  answersTo(request: SipText, status: number, extra: Extra = {}): SipText {
    const response = responseTo(this, request, status, "far", extra);
    const via = /^SIP\/2\.0\/UDP ([\d.]+):(\d+)/.exec(request.get("Via"));
    this.#send(response, { address: via?.[1] ?? "", port: Number(via?.[2]) });
    return response;
  }

  #at(uri: string): { readonly port: number; readonly address: string } {
    const found = [...this.#bindings.values()].find(({ contact }) => contact === uri);
    if (found !== undefined) return found;
    // Requests to a Contact that an answer named go where that Contact is.
    const match = /@([\d.]+):(\d+)/.exec(uri);
    if (match === null) throw new Error(`no address in ${uri}`);
    return { address: match[1] ?? "", port: Number(match[2]) };
  }

  #send(message: SipText, { port, address }: { readonly port: number; readonly address: string }): void {
    this.#socket?.send(Buffer.from(message.text, "latin1"), port, address);
  }

  #receive(text: string, port: number, address: string): void {
    const message = new SipText(text);
    if (message.headers.length === 0) return;
    if (message.isResponse || message.method !== "REGISTER") {
      // Wakeline asks for voicemail by itself some seconds after a registration: not here.
      if (message.method === "SUBSCRIBE" && /message-summary/.test(text)) this.answersTo(message, 489);
      else this.inbox.push(text, false);
      return;
    }
    this.registers.push(message);
    if (this.answers) this.#register(message, { port, address });
  }

  #register(request: SipText, from: { readonly port: number; readonly address: string }): void {
    const username = /sip:([^@]+)@/.exec(request.get("To"))?.[1] ?? "";
    const authorization = request.all("Authorization")[0];
    if (authorization === undefined || !this.#proves(username, authorization)) {
      const stale = authorization === undefined ? nonce : `${nonce}2`;
      this.answersTo(request, 401, {
        lines: [`WWW-Authenticate: Digest realm="${realm}", nonce="${stale}", algorithm=MD5, qop="auth"`],
      });
      return;
    }
    for (const contact of request.all("Contact")) {
      const uri = /<([^>]*)>/.exec(contact)?.[1] ?? "";
      const expires = /;expires=(\d+)/.exec(contact)?.[1] ?? request.all("Expires")[0] ?? "600";
      if (Number(expires) > 0) this.#bindings.set(username, { contact: uri, ...from });
      else if (this.#bindings.get(username)?.contact === uri) this.#bindings.delete(username);
    }
    const bound = this.#bindings.get(username);
    const lines = bound === undefined ? ["Contact:"] : [`Contact: <${bound.contact}>;expires=600`];
    this.answersTo(request, 200, { lines });
  }

  #proves(username: string, authorization: string): boolean {
    const password = this.#passwords.get(username);
    const field = (name: string): string => new RegExp(`[ ,]${name}="?([^",]*)`, "i").exec(authorization)?.[1] ?? "";
    const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
    const ha1 = md5(`${username}:${realm}:${password ?? ""}`);
    const ha2 = md5(`REGISTER:${field("uri")}`);
    const expected = md5(`${ha1}:${field("nonce")}:${field("nc")}:${field("cnonce")}:${field("qop")}:${ha2}`);
    return password !== undefined && field("response") === expected;
  }
}
