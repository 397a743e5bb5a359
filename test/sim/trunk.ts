import type { Endpoint, Source } from "../../src/net/network.ts";
import { SipText, sipText } from "../fakes/sip-text.ts";
import type { VirtualServer, VirtualWire } from "../fakes/virtual-network.ts";
import type { VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { parseUriText } from "../../src/sip/uri.ts";
import type { Dice } from "./dice.ts";
import { domain } from "./directory.ts";
import { ackOf, dialogOf, sdpOf, tagIn, type UaDialog } from "./sip.ts";
import { challengeLines, type Happening, keyOf, Talker } from "./talker.ts";
import type { Asked, Served } from "./ua.ts";

/** What becomes of a call that a caller makes. */
export interface CallPlan {
  /** After this the caller gives up; Infinity when not. */
  readonly patienceMs: number;
  readonly ending: "cancel" | "elsewhere" | "foreignAck";
  /** After the answer. */
  readonly talkMs: number;
  readonly reinvites: boolean;
  readonly asks: boolean;
  /** Both sides re-INVITE at the same moment. */
  readonly glares: boolean;
  /** Reliable provisional responses (RFC 3262). */
  readonly reliable: "no" | "supported" | "required";
}

/** One call to an account, as its caller saw it. */
export interface FarCall {
  readonly callId: string;
  readonly username: string;
  readonly placedAtMs: number;
  readonly plan: CallPlan;
  asked: Asked | undefined;
  /** When the caller first wanted it gone. */
  takenBackAtMs: number;
  rangAtMs: number;
  dialog: UaDialog | undefined;
  answeredAtMs: number;
  /** Nothing can be said of it: the shard died in between. */
  isExcused: boolean;
  isOver: boolean;
  /** To-tags of its responses that are no phone's. */
  readonly ownTags: Set<string>;
  /** That of the first 2xx that reached the shard while the call was open. */
  acceptedTag: string | undefined;
}

export interface TrunkWorld {
  readonly wire: VirtualWire;
  complain(rule: string, text: string, callId: string): void;
  met(happening: Happening): void;
  isPhoneTag(tag: string): boolean;
  /** The phone in this call re-INVITEs now. */
  phoneReinvites(callId: string): void;
  /** A phone's call was answered, and no ACK came in 32 s. */
  noAck(callId: string): void;
  /** A request in a dialog had no answer in 32 s. */
  silent(request: SipText): void;
  /** A phone hung up, was challenged, and the far end is still in the call. */
  unended(callId: string): void;
}

const proxyAddress = "192.0.2.10";
const calleeAddress = "203.0.113.5";
const callerContact = `sip:caller@${calleeAddress}:5060`;

/** The proxy of the accounts' provider with everybody who calls through it. It shares its address with the registrar. */
export class Trunk extends Talker {
  readonly reliable: boolean;
  readonly contact = callerContact;
  readonly calls = new Map<string, FarCall>();
  readonly server: VirtualServer;
  /** INVITEs of phones that came in. */
  outgoing = 0;
  /** BYEs of phones that were challenged: the call must end all the same. */
  readonly #challengedByes = new Map<string, string>();
  readonly #world: TrunkWorld;
  readonly #dice: Dice;
  readonly #registrar: VirtualRegistrar;
  readonly #transport: string;
  /** Where the message in hand goes or came from. */
  #to: { readonly address: string; readonly port: number } | Source;

  constructor(
    world: TrunkWorld,
    dice: Dice,
    endpoint: Endpoint,
    registrar: VirtualRegistrar,
    host: { address: string; port: number },
  ) {
    super(world.wire);
    this.#world = world;
    this.#dice = dice;
    this.#registrar = registrar;
    this.#transport = endpoint.transport.toUpperCase();
    this.reliable = endpoint.transport !== "udp";
    this.#to = host;
    world.wire.server({ transport: "udp", address: calleeAddress, port: 5060 }, (bytes) => {
      this.direct++;
      this.receive(new SipText(Buffer.from(bytes).toString("latin1")));
    });
    // In the registrar's place, which goes on behind it.
    const behind = registrar.server;
    this.server = world.wire.server(endpoint, (bytes, source) => {
      const text = Buffer.from(bytes).toString("latin1");
      if (text.startsWith("REGISTER ")) {
        if (endpoint.transport !== "udp")
          for (const [id, one] of this.server.connections) behind.connections.set(id, one);
        behind.receive(bytes, source);
      } else this.receive(new SipText(text));
    });
  }

  token(): string {
    return this.#dice.token();
  }
  met(happening: Happening): void {
    this.#world.met(happening);
  }
  thinkMs(): number {
    return this.#dice.chance(0.3) ? this.#dice.between(100, 3_000) : 0;
  }
  challenges({ request }: Served): boolean {
    const isAuthorized = request.has("Proxy-Authorization") || request.has("Authorization");
    return !isAuthorized && request.method !== "NOTIFY" && this.#dice.chance(0.15);
  }
  repeats(): boolean {
    return true;
  }
  onEnded(key: string, { callId }: UaDialog): void {
    this.#challengedByes.delete(key);
    const call = this.calls.get(callId);
    if (call !== undefined) call.isOver = true;
  }
  /** Requests that came to callees themselves, past the proxy. */
  direct = 0;
  via(branch: string): string {
    return `SIP/2.0/${this.#transport} ${proxyAddress}:5060;rport;branch=${branch}`;
  }
  complain(rule: string, text: string, callId: string): void {
    const call = this.calls.get(callId);
    if (call?.isExcused !== true) this.#world.complain(rule, text, callId);
  }
  transmit(text: string): void {
    const { address, port } = this.#to;
    this.server.send(address, port, new Uint8Array(Buffer.from(text, "latin1")));
  }

  // ---- calling an account

  /** Undefined when the account has no binding. */
  place(username: string, plan: CallPlan): FarCall | undefined {
    const binding = this.#registrar.bindingsOf(username)[0];
    if (binding === undefined) return undefined;
    const uri = parseUriText(binding.uri);
    if (uri === undefined) throw new Error(`no URI: ${binding.uri}`);
    const callId = `in-${this.token()}`;
    const call: FarCall = {
      callId,
      username,
      placedAtMs: this.nowMs,
      plan,
      asked: undefined,
      takenBackAtMs: Infinity,
      rangAtMs: Infinity,
      dialog: undefined,
      answeredAtMs: Infinity,
      isExcused: false,
      isOver: false,
      ownTags: new Set(),
      acceptedTag: undefined,
    };
    this.calls.set(callId, call);
    const text = sipText(
      `INVITE ${binding.uri} SIP/2.0`,
      [
        `Via: ${this.via(this.newBranch())}`,
        `Via: SIP/2.0/UDP 203.0.113.5:5060;branch=${this.newBranch()};received=203.0.113.5`,
        `Record-Route: <sip:${proxyAddress};lr;call=${this.token()}>`,
        "Max-Forwards: 68",
        `From: "Caller" <sip:caller@${domain}>;tag=${this.token()}`,
        `To: <sip:${username}@${domain}>`,
        `Call-ID: ${callId}`,
        "CSeq: 7 INVITE",
        `Contact: <${callerContact}>`,
        "X-Kept: as it is",
        ...(plan.reliable === "no" ? [] : [`${plan.reliable === "required" ? "Require" : "Supported"}: 100rel`]),
        "Content-Type: application/sdp",
      ],
      sdpOf("caller"),
    );
    const asked = this.ask(text, (response) => this.#onResponse(call, asked, response));
    call.asked = asked;
    if (plan.patienceMs < Infinity) this.wire.after(plan.patienceMs, () => this.#takeBack(call, asked));
    return call;
  }

  /** A text message to the account; `then` hears the final status, 0 for none in time. */
  message(username: string, then: (status: number, callId: string) => void): void {
    const binding = this.#registrar.bindingsOf(username)[0];
    if (binding === undefined) return;
    const callId = `msg-${this.token()}`;
    const text = sipText(
      `MESSAGE ${binding.uri} SIP/2.0`,
      [
        `Via: ${this.via(this.newBranch())}`,
        "Max-Forwards: 68",
        `From: <sip:caller@${domain}>;tag=${this.token()}`,
        `To: <sip:${username}@${domain}>`,
        `Call-ID: ${callId}`,
        "CSeq: 1 MESSAGE",
        "Content-Type: text/plain",
      ],
      "Are you there?",
    );
    this.ask(text, (response) => {
      if (response === undefined) then(0, callId);
      else if (response.status >= 200) then(response.status, callId);
    });
  }

  #takeBack(call: FarCall, asked: Asked): void {
    if (asked.finalStatus !== 0 || asked.isDead || call.isExcused) return;
    call.takenBackAtMs = this.nowMs;
    const { ending } = call.plan;
    if (ending === "foreignAck") {
      const { request } = asked;
      const ack = ackOf(request, new SipText(`SIP/2.0 200 OK\r\nTo: ${request.get("To")};tag=desk-phone\r\n\r\n`));
      this.transmit(ack.replace(request.branch, this.newBranch()));
      // Should the ACK get lost, the caller's hanging up comes in any case.
      this.wire.after(5_000, () => this.cancel(asked));
    } else
      this.cancel(asked, ending === "elsewhere" ? ['Reason: SIP ;cause=200 ;text="Call completed elsewhere"'] : []);
  }

  #onResponse(call: FarCall, asked: Asked, response: SipText | undefined): void {
    if (response === undefined) {
      call.isOver = true;
      return;
    }
    this.#checkResponse(call, asked, response);
    const { status } = response;
    if (status < 200) {
      if (status >= 180 && call.rangAtMs === Infinity) call.rangAtMs = this.nowMs;
      if (response.has("RSeq")) this.#prack(asked, response);
      return;
    }
    if (status >= 300) {
      call.isOver = true;
      return;
    }
    const dialog = dialogOf("asked", asked.request, response);
    if (call.dialog !== undefined && call.dialog.remoteTag !== dialog.remoteTag) {
      this.complain("no 2xx doubled", `200 of ${call.dialog.remoteTag} and of ${dialog.remoteTag}`, call.callId);
      return;
    }
    const kept = call.dialog ?? dialog;
    this.acknowledge(kept, asked.request.cseq);
    if (call.dialog !== undefined) return;
    call.dialog = dialog;
    call.answeredAtMs = this.nowMs;
    const key = keyOf(call.callId, dialog.localTag, dialog.remoteTag);
    this.talking.set(key, dialog);
    if (call.takenBackAtMs < Infinity) {
      // The answer crossed the CANCEL: nobody is there any more (§9.1).
      this.#hangUp(call, key, dialog);
      return;
    }
    const { plan } = call;
    this.wire.after(plan.talkMs, () => this.#hangUp(call, key, dialog));
    if (plan.asks) {
      for (const method of ["INFO", "UPDATE", "REFER"])
        this.#later(key, plan.talkMs, () => this.askIn(dialog, method, this.#onFinal));
    }
    // A phone that is gone does not answer, and nobody waits for ever.
    if (plan.reinvites) this.#later(key, plan.talkMs, () => this.reinvite(dialog, sdpOf("video"), 40_000, () => {}));
    if (plan.glares) {
      this.#later(key, plan.talkMs, () => {
        this.reinvite(dialog, sdpOf("video"), 40_000, () => {});
        this.#world.phoneReinvites(call.callId);
      });
    }
  }

  /** In the early dialog, whose numbers go on in the dialog of the 2xx. */
  #prack(asked: Asked, response: SipText): void {
    const early = dialogOf("asked", asked.request, response);
    const rack = `RAck: ${response.get("RSeq")} ${response.get("CSeq")}`;
    this.request(early, "PRACK", [rack], "", () => {});
  }

  #later(key: string, withinMs: number, act: () => void): void {
    this.wire.after(this.#dice.between(0, withinMs), () => {
      if (this.talking.has(key)) act();
    });
  }

  #hangUp(call: FarCall, key: string, dialog: UaDialog): void {
    call.isOver = true;
    if (!this.talking.delete(key)) return;
    this.askIn(dialog, "BYE", this.#onFinal);
  }

  readonly #onFinal = (response: SipText | undefined, request: SipText): void => {
    if (response === undefined) this.#world.silent(request);
  };

  #checkResponse(call: FarCall, asked: Asked, response: SipText): void {
    const { request } = asked;
    const { callId } = call;
    const [top = "", ...below] = response.all("Via");
    const [ownTop = "", ...ownBelow] = request.all("Via");
    if (below.join("\n") !== ownBelow.join("\n")) this.complain("Vias as they were", below.join("\n"), callId);
    if (!top.startsWith(ownTop.split(";")[0] ?? "") || !top.includes(request.branch)) {
      this.complain("Vias as they were", top, callId);
    }
    const tag = tagIn(response.get("To"));
    if (tag !== "" && !this.#world.isPhoneTag(tag)) call.ownTags.add(tag);
    if (call.ownTags.size > 1) this.complain("one tag of ours", [...call.ownTags].join(" and "), callId);
    const isRinging = response.status > 100 && response.status < 200;
    if (isRinging && call.plan.reliable === "required" && !response.has("RSeq"))
      this.complain("no 18x of ours where it would have to be acknowledged", response.text, callId);
    if (response.get("From") !== request.get("From")) this.complain("From as it was", response.get("From"), callId);
    if (response.get("CSeq") !== request.get("CSeq")) this.complain("CSeq as it was", response.get("CSeq"), callId);
    if (response.status >= 180 && response.status < 300 && response.all("Contact").length !== 1) {
      this.complain("one Contact of ours", response.text, callId);
    }
  }

  // ---- called by an account, and in dialogs

  onRequest(served: Served): void {
    const { request } = served;
    const callId = request.get("Call-ID");
    if (/;tag=/i.test(request.get("To"))) return this.#inDialog(served, callId);
    if (request.method !== "INVITE") return this.respond(served, 200);
    this.outgoing++;
    const dice = this.#dice;
    if (!request.has("Proxy-Authorization") && dice.chance(0.5)) {
      return this.respond(served, 407, { lines: challengeLines });
    }
    this.respond(served, 100);
    served.onCancel = () => this.respond(served, 487);
    // Without it what follows goes to the callee directly.
    const isDirect = !this.reliable && dice.chance(0.3);
    const lines = isDirect ? [] : [`Record-Route: <sip:${proxyAddress};lr>`];
    this.wire.after(dice.between(50, 1_000), () => this.respond(served, 180, { lines }));
    this.wire.after(dice.between(1_000, 6_000), () => {
      if (served.finalStatus !== 0) return;
      if (dice.chance(0.2)) return this.respond(served, 486);
      this.respond(served, 200, { lines, body: sdpOf("callee") });
      const dialog = dialogOf("served", request, new SipText(served.last ?? ""));
      const key = keyOf(callId, dialog.localTag, dialog.remoteTag);
      this.talking.set(key, dialog);
      const end = (): void => {
        if (this.talking.delete(key)) this.request(dialog, "BYE", [], "", () => {});
      };
      served.onNoAck = () => {
        // The phone has hung up: nobody waits for an ACK any more.
        if (!this.talking.has(key)) return;
        this.#world.noAck(callId);
        end();
      };
      // §15: not before the ACK.
      served.onAck = () => this.wire.after(dice.between(500, 60_000), end);
    });
  }

  #inDialog(served: Served, callId: string): void {
    const { request } = served;
    const key = keyOf(callId, tagIn(request.get("To")), tagIn(request.get("From")));
    const call = this.calls.get(callId);
    if (call !== undefined && request.uri !== callerContact) {
      this.complain("the true Request-URI", request.uri, callId);
    }
    const routes = call?.dialog?.routes ?? [];
    if (call?.dialog !== undefined && request.all("Route").join() !== routes.join()) {
      this.complain("the true Route set", `${request.all("Route").join()} instead of ${routes.join()}`, callId);
    }
    this.serveInDialog(served);
    if (request.method === "BYE" && served.finalStatus === 407) this.#awaitBye(key, callId);
  }

  /** A challenged BYE that does not come again is ours to bring (32 s, and the way). */
  #awaitBye(key: string, callId: string): void {
    this.#challengedByes.set(key, callId);
    this.wire.after(40_000, () => {
      if (!this.#challengedByes.delete(key) || !this.talking.has(key)) return;
      this.#world.unended(callId);
    });
  }

  onStrayAck(): void {
    // A repetition, or of a call that is over.
  }
}
