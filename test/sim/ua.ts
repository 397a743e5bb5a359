import { SipText } from "../fakes/sip-text.ts";
import type { VirtualWire } from "../fakes/virtual-network.ts";
import { ackOf, cancelOf, dialogRequest, responseText, type ResponseParts, type UaDialog } from "./sip.ts";

const t1Ms = 500;
const t2Ms = 4_000;
const lifeMs = 64 * t1Ms;
/** After that nobody repeats anything: what is kept for repetitions goes. */
const keptMs = 80_000;

/** A request that a UA has sent. */
export interface Asked {
  readonly request: SipText;
  /** 0 until there is one; of an INVITE the first. */
  finalStatus: number;
  isProceeding: boolean;
  /** No answer came in time, or nobody waits any more. */
  isDead: boolean;
  /** When the final answer came. */
  finalAtMs: number;
  wantsCancel: readonly string[] | undefined;
  /** Every 1xx, the first final response, and each 2xx to INVITE; undefined for none in time. */
  readonly onResponse: (response: SipText | undefined) => void;
}

/** A request that a UA was sent. */
export interface Served {
  readonly request: SipText;
  readonly tag: string;
  last: string | undefined;
  finalStatus: number;
  isAcknowledged: boolean;
  isForgotten: boolean;
  onCancel: (cancel: SipText) => void;
  onAck: (ack: SipText) => void;
  /** 32 s without ACK. */
  onNoAck: () => void;
}

/** What both ends have in common: RFC 3261's transactions, written a second time and simply, so that one can check the other. */
export abstract class Ua {
  readonly wire: VirtualWire;
  readonly asked = new Map<string, Asked>();
  readonly served = new Map<string, Served>();
  abstract readonly reliable: boolean;
  abstract readonly contact: string;

  constructor(wire: VirtualWire) {
    this.wire = wire;
  }

  abstract transmit(text: string): void;
  abstract via(branch: string): string;
  abstract token(): string;
  abstract onRequest(served: Served): void;
  /** An ACK that belongs to no INVITE we know. */
  abstract onStrayAck(ack: SipText): void;
  /** A final answer that was here before. */
  onRepeated(): void {}
  abstract complain(rule: string, text: string, callId: string): void;

  get nowMs(): number {
    return this.wire.clock.nowMs();
  }

  newBranch(): string {
    return `z9hG4bK${this.token()}`;
  }

  // ---- asking

  ask(text: string, onResponse: Asked["onResponse"]): Asked {
    const request = new SipText(text);
    const asked: Asked = {
      request,
      finalStatus: 0,
      isProceeding: false,
      isDead: false,
      finalAtMs: 0,
      wantsCancel: undefined,
      onResponse,
    };
    const key = `${request.branch} ${request.method}`;
    this.asked.set(key, asked);
    this.wire.after(keptMs + (request.method === "INVITE" ? 700_000 : 0), () => this.asked.delete(key));
    this.transmit(text);
    if (!this.reliable) this.#repeatAsked(asked, t1Ms);
    this.wire.after(lifeMs, () => {
      const isWaiting = asked.finalStatus === 0 && !(request.method === "INVITE" && asked.isProceeding);
      if (!isWaiting || asked.isDead) return;
      asked.isDead = true;
      onResponse(undefined);
    });
    return asked;
  }

  #repeatAsked(asked: Asked, afterMs: number): void {
    this.wire.after(afterMs, () => {
      const isInvite = asked.request.method === "INVITE";
      if (asked.finalStatus !== 0 || asked.isDead || (isInvite && asked.isProceeding)) return;
      this.transmit(asked.request.text);
      this.#repeatAsked(asked, isInvite ? afterMs * 2 : asked.isProceeding ? t2Ms : Math.min(afterMs * 2, t2Ms));
    });
  }

  /** Now, or once a 1xx has come (§9.1). `lines`: Reason. */
  cancel(asked: Asked, lines: readonly string[] = []): void {
    asked.wantsCancel ??= lines;
    if (!asked.isProceeding || asked.finalStatus !== 0 || asked.isDead) return;
    const text = cancelOf(asked.request, asked.wantsCancel);
    if (this.asked.has(`${asked.request.branch} CANCEL`)) return;
    this.ask(text, () => {});
  }

  request(
    dialog: UaDialog,
    method: string,
    lines: readonly string[],
    body: string,
    onResponse: Asked["onResponse"],
  ): Asked {
    const text = dialogRequest(dialog, method, { via: this.via(this.newBranch()), contact: this.contact, lines, body });
    return this.ask(text, onResponse);
  }

  /** The ACK of a 2xx, in a dialog (§13.2.2.4). */
  acknowledge(dialog: UaDialog, cseq: number): void {
    this.transmit(dialogRequest(dialog, "ACK", { via: this.via(this.newBranch()), cseq }));
  }

  // ---- being asked

  respond(served: Served, status: number, parts: ResponseParts = {}): void {
    if (served.finalStatus !== 0) return;
    const text = responseText(served.request, status, { tag: served.tag, contact: this.contact, ...parts });
    served.last = text;
    if (status >= 200) served.finalStatus = status;
    this.transmit(text);
    if (status < 200 || served.request.method !== "INVITE") return;
    // Only a 2xx is repeated by the UA itself, whatever the transport (§13.3.1.4).
    if (status < 300 || !this.reliable) this.#repeatServed(served, t1Ms);
    this.wire.after(lifeMs, () => {
      if (!served.isAcknowledged && !served.isForgotten) served.onNoAck();
    });
  }

  #repeatServed(served: Served, afterMs: number): void {
    const untilMs = this.nowMs + lifeMs;
    const again = (waitMs: number): void => {
      this.wire.after(waitMs, () => {
        if (served.isAcknowledged || served.isForgotten || this.nowMs >= untilMs || served.last === undefined) return;
        this.transmit(served.last);
        again(Math.min(waitMs * 2, t2Ms));
      });
    };
    again(afterMs);
  }

  // ---- arriving

  receive(message: SipText): void {
    if (message.isResponse) this.#onResponse(message);
    else this.#onRequest(message);
  }

  #onResponse(response: SipText): void {
    const asked = this.asked.get(`${response.branch} ${response.method}`);
    if (asked === undefined) return;
    const isInvite = response.method === "INVITE";
    const { status } = response;
    if (status < 200) {
      if (asked.finalStatus !== 0) return;
      asked.isProceeding = true;
      asked.onResponse(response);
      if (asked.wantsCancel !== undefined) this.cancel(asked);
      return;
    }
    const isFirst = asked.finalStatus === 0;
    if (isInvite && status >= 300) this.transmit(ackOf(asked.request, response));
    if (!isFirst) {
      if (isInvite && status !== asked.finalStatus) {
        this.complain("one final answer", `${asked.finalStatus}, then ${status}`, response.get("Call-ID"));
      }
      if (isInvite && status < 300) asked.onResponse(response);
      if (!isInvite) this.onRepeated();
      return;
    }
    asked.finalStatus = status;
    asked.finalAtMs = this.nowMs;
    if (!asked.isDead || (isInvite && status < 300)) asked.onResponse(response);
  }

  #onRequest(request: SipText): void {
    const { method } = request;
    if (method === "ACK") return this.#onAck(request);
    const known = this.served.get(`${request.branch} ${method}`);
    if (known !== undefined) {
      if (known.last !== undefined && !(known.isAcknowledged && method === "INVITE")) this.transmit(known.last);
      return;
    }
    const served: Served = {
      request,
      tag: this.token(),
      last: undefined,
      finalStatus: 0,
      isAcknowledged: false,
      isForgotten: false,
      onCancel: () => {},
      onAck: () => {},
      onNoAck: () => {},
    };
    if (method === "CANCEL") {
      const invite = this.served.get(`${request.branch} INVITE`);
      this.transmit(responseText(request, invite === undefined ? 481 : 200, { tag: invite?.tag ?? served.tag }));
      if (invite !== undefined && invite.finalStatus === 0) invite.onCancel(request);
      return;
    }
    const key = `${request.branch} ${method}`;
    this.served.set(key, served);
    this.wire.after(keptMs + (method === "INVITE" ? 700_000 : 0), () => this.served.delete(key));
    this.onRequest(served);
  }

  #onAck(ack: SipText): void {
    const refused = this.served.get(`${ack.branch} INVITE`);
    if (refused !== undefined && refused.finalStatus >= 300) {
      refused.isAcknowledged = true;
      return;
    }
    const toTag = /;tag=([^;>\s]*)/i.exec(ack.get("To"))?.[1] ?? "";
    for (const served of this.served.values()) {
      const { request } = served;
      if (request.method !== "INVITE" || served.finalStatus < 200 || served.finalStatus >= 300) continue;
      if (request.get("Call-ID") !== ack.get("Call-ID") || request.cseq !== ack.cseq) continue;
      if (this.#localTagOf(served) !== toTag) continue;
      const isFirst = !served.isAcknowledged;
      served.isAcknowledged = true;
      if (isFirst) served.onAck(ack);
      return;
    }
    this.onStrayAck(ack);
  }

  #localTagOf(served: Served): string {
    return /;tag=([^;>\s]*)/i.exec(served.request.get("To"))?.[1] ?? served.tag;
  }
}
