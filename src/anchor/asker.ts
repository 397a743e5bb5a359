import { keepSource, type Source } from "../net/network.ts";
import { latin1 } from "../sip/message/chars.ts";
import { Method } from "../sip/message/method.ts";
import { viaLines } from "../sip/message/rewrite.ts";
import { scan } from "../sip/message/scan.ts";
import { SipView } from "../sip/message/view.ts";
import { writeResponse, type ResponseOptions } from "../sip/message/write-response.ts";
import { timerFMs, timerHMs } from "../sip/transaction/timers.ts";
import type { ServerTransaction } from "../sip/transaction/transactions.ts";
import type { LastWord } from "../workers/protocol.ts";
import { newTag } from "./call-uuid.ts";
import type { Belonging, Core } from "./core.ts";
import { DeviceLink } from "./device-link.ts";
import { responseToPhone, responseToServer } from "./rewriting.ts";

const stamped = new SipView();

/** Who asked: where the answers to a request go, those of the other side and our own. */
export abstract class Asker {
  readonly tx: ServerTransaction;
  readonly belonging: Belonging;
  protected readonly core: Core;
  #finalStatus = 0;
  #willId: string | undefined;

  constructor(core: Core, tx: ServerTransaction, belonging: Belonging) {
    this.core = core;
    this.tx = tx;
    this.belonging = belonging;
  }

  /** Status of the final answer, 0 while there is none. */
  get finalStatus(): number {
    return this.#finalStatus;
  }

  /** Passes on a response of the other side. */
  pass(view: SipView): void {
    this.#send(this.rewritten(view), view.status);
  }

  /** Answers ourselves. */
  answer(status: number, reason: string, options: ResponseOptions = {}): void {
    const all = { ...options, ...this.#stamp() };
    this.#send(writeResponse(this.core.writer, this.tx.request, status, reason, all), status);
  }

  /** To whom the answer would have to go should this shard die first, and under which name it is kept; undefined: to nobody. */
  protected abstract heirOf(text: string): { readonly id: string; readonly word: LastWord } | undefined;

  /** An INVITE that was told to wait is answered even if this shard dies. One that was not comes again by itself. */
  #leaveWill(): void {
    const { core, tx } = this;
    const options = { toTag: newTag(core.options.random), ...this.#stamp() };
    const bytes = writeResponse(core.writer, tx.request, 500, "Server Internal Error", options);
    const heir = this.heirOf(latin1(bytes, 0, bytes.length));
    if (heir === undefined) return;
    this.#willId = heir.id;
    core.will(heir.id, heir.word);
  }

  #stamp(): Pick<ResponseOptions, "received"> {
    const received = this.received();
    return received === undefined ? {} : { received };
  }

  protected abstract rewritten(view: SipView): Uint8Array;
  protected abstract received(): ResponseOptions["received"];
  protected abstract get party(): "server" | "device";

  /** The final answer is about to go; `bytes` are valid during the call. */
  protected onFinal(_bytes: Uint8Array, _status: number): void {}

  #send(bytes: Uint8Array, status: number): void {
    if (status >= 200 && this.#finalStatus === 0) {
      this.#finalStatus = status;
      this.onFinal(bytes, status);
      if (this.#willId !== undefined) this.core.will(this.#willId, undefined);
    }
    this.core.sent(this.belonging, this.party, bytes);
    this.core.transactions.respond(this.tx, bytes, status);
    const waits = status < 200 && this.tx.method === Method.invite && this.#finalStatus === 0;
    if (waits && this.#willId === undefined) this.#leaveWill();
  }
}

/** The account's server: it sees our Contact and its own Vias, the top one stamped with where it came from (RFC 3581 §4). */
export class ServerAsker extends Asker {
  readonly source: Source;
  readonly contact: string;
  #vias: string | undefined;

  /** `contact`: ours, in brackets. */
  constructor(core: Core, tx: ServerTransaction, belonging: Belonging, contact: string) {
    super(core, tx, belonging);
    this.source = keepSource(tx.source);
    this.contact = contact;
  }

  override pass(view: SipView): void {
    super.pass(view);
    if (view.status >= 200 && view.status < 300) this.core.repeats.onAccepted(this.tx, view);
  }

  protected override get party(): "server" {
    return "server";
  }

  protected override rewritten(view: SipView): Uint8Array {
    return responseToServer(this.core.writer, view, this.#stampedVias(), this.contact);
  }

  protected override received(): ResponseOptions["received"] {
    return this.source;
  }

  /** Over a stream the server sees its connection break. */
  protected override heirOf(text: string): { readonly id: string; readonly word: LastWord } | undefined {
    const { transport, address, port } = this.source;
    if (transport !== "udp") return undefined;
    return { id: `${address} ${port} ${this.tx.branch}`, word: { to: "server", address, port, text } };
  }

  #stampedVias(): string {
    if (this.#vias === undefined) {
      const bytes = writeResponse(this.core.writer, this.tx.request, 100, "Trying", { received: this.source });
      scan(bytes, 0, bytes.length, stamped);
      this.#vias = viaLines(stamped);
    }
    return this.#vias;
  }
}

/** A phone: it sees everything as the far end wrote it, under its own Vias. */
export class PhoneAsker extends Asker {
  /** By then the phone has given up its request, monotonic ms. */
  readonly #untilMs: number;

  constructor(core: Core, tx: ServerTransaction, belonging: Belonging) {
    super(core, tx, belonging);
    this.#untilMs = core.nowMs() + timerFMs;
  }

  protected override onFinal(bytes: Uint8Array, status: number): void {
    const { tx } = this;
    // A REGISTER is about its tunnel, which is gone: on the next one the phone registers anew.
    if (!(tx.hop instanceof DeviceLink) || tx.method === Method.register) return;
    if (tx.method !== Method.invite) tx.hop.noteAnswered({ tx, bytes: bytes.slice(), untilMs: this.#untilMs });
    else if (status >= 300) tx.hop.noteAnswered({ tx, bytes: undefined, untilMs: this.core.nowMs() + timerHMs });
  }

  protected override heirOf(text: string): { readonly id: string; readonly word: LastWord } {
    const { deviceId } = this.belonging;
    return { id: `${deviceId} ${this.tx.branch}`, word: { to: "phone", deviceId, text } };
  }

  protected override get party(): "device" {
    return "device";
  }

  protected override rewritten(view: SipView): Uint8Array {
    return responseToPhone(this.core.writer, view, viaLines(this.tx.request));
  }

  protected override received(): undefined {
    return undefined;
  }
}

/** A 503 would tell the server that all our accounts are down (RFC 3261 §16.7 step 6): a phone's own goes on as 500. */
export function passAsProxy(asker: Asker, view: SipView): void {
  if (view.status === 503 && asker instanceof ServerAsker) asker.answer(500, "Server Internal Error");
  else asker.pass(view);
}
