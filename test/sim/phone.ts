import type { AccountId, DeviceId } from "../../src/base/ids.ts";
import { SipText, sipText } from "../fakes/sip-text.ts";
import type { VirtualWire } from "../fakes/virtual-network.ts";
import type { Dice } from "./dice.ts";
import { domain } from "./directory.ts";
import { dialogOf, sdpOf, tagIn, type UaDialog } from "./sip.ts";
import { type Happening, keyOf, Talker } from "./talker.ts";
import type { Asked, Served } from "./ua.ts";

/** How a phone lives; ratios and milliseconds. */
export interface PhoneHabits {
  /** Breaks of an open tunnel a second. */
  readonly breaksPerSec: number;
  /** It drops what rings with its socket, as JsSIP does. */
  readonly forgetsRinging: boolean;
  readonly answers: number;
  readonly declines: number;
  /** ... and else never says more than 180. */
  readonly deafToPush: number;
  readonly dies: number;
  /** ... its app is ended, forgets everything and only a push brings it back. */
  readonly killed: number;
}

/** What a phone needs of the world. */
export interface PhoneWorld {
  readonly wire: VirtualWire;
  complain(rule: string, text: string, callId: string): void;
  /** A request got no answer, though its way was open all the time. */
  unanswered(what: string, callId: string): void;
  met(happening: Happening): void;
  /** The shard has given the caller no final answer. */
  isCallOpen(callId: string): boolean;
  /** The phone begins to ring. */
  rings(phone: Phone, callId: string): void;
  /** Whether the shard has had this request. */
  hasArrived(request: SipText): boolean;
  /** A tag of a phone's: no other is ours. */
  tagged(tag: string): void;
  /** Opens a tunnel; the newest takes over. */
  open(phone: Phone): Tunnel;
}

/** One WebSocket as its phone sees it. */
export interface Tunnel {
  readonly isOpen: boolean;
  send(text: string): void;
  /** The phone closes it, and the server hears so. */
  close(): void;
  /** It breaks: the phone knows, the server does not yet. */
  break(): void;
}

interface Ringing {
  readonly served: Served;
  readonly callId: string;
}

/** A phone behind tunnels: sleeps, is woken, rings, answers, hangs up, loses its network and comes back. */
export class Phone extends Talker {
  readonly reliable = true;
  readonly contact: string;
  readonly deviceId: DeviceId;
  readonly accounts: readonly { readonly accountId: AccountId; readonly username: string }[];
  readonly habits: PhoneHabits;
  readonly ringing = new Map<string, Ringing>();
  /** By call: Call-ID and CSeq, the branch it came with. */
  readonly #branches = new Map<string, string>();
  readonly answeredTags = new Set<string>();
  readonly endedTags = new Set<string>();
  isDead = false;
  /** The account was taken off it: what it says for the account is refused. */
  hasLeft = false;
  inviteCount = 0;
  noAcks = 0;
  tunnel: Tunnel | undefined;
  /** When the present tunnel opened. */
  openedAtMs = 0;
  /** When a tunnel broke last. */
  brokenAtMs = -Infinity;
  /** Calls that have rung here since they were forgotten last. */
  readonly #rang = new Set<string>();
  /** Calls that rang here when it forgot them. */
  readonly #forgotten = new Set<string>();
  readonly #world: PhoneWorld;
  readonly #dice: Dice;
  #opening = false;
  #registers = 0;

  constructor(world: PhoneWorld, dice: Dice, deviceId: DeviceId, accounts: Phone["accounts"], habits: PhoneHabits) {
    super(world.wire);
    this.#world = world;
    this.#dice = dice;
    this.deviceId = deviceId;
    this.accounts = accounts;
    this.habits = habits;
    this.contact = `sip:p${dice.token()}@phone.invalid;transport=ws`;
  }

  get isOpen(): boolean {
    return this.tunnel?.isOpen === true;
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
  challenges(): boolean {
    return false;
  }
  repeats(): boolean {
    return this.#dice.chance(0.8);
  }
  override onRepeated(): void {
    this.met("answer repeated on a new tunnel");
  }
  onEnded(_key: string, dialog: UaDialog): void {
    this.endedTags.add(dialog.localTag);
  }
  via(branch: string): string {
    return `SIP/2.0/WSS phone.invalid;branch=${branch}`;
  }
  complain(rule: string, text: string, callId: string): void {
    this.#world.complain(rule, `${this.deviceId}: ${text}`, callId);
  }
  transmit(text: string): void {
    // What is written into a dead socket is gone.
    if (this.isOpen) this.tunnel?.send(text);
  }

  // ---- tunnels

  /** A push has arrived. */
  pushed(): void {
    if (this.isDead || this.#dice.chance(this.habits.deafToPush)) return;
    if (!this.isOpen) this.#openIn(this.#dice.between(50, 1_500));
  }

  #openIn(ms: number): void {
    if (this.#opening) return;
    this.#opening = true;
    this.wire.after(ms, () => {
      this.#opening = false;
      if (!this.isOpen) this.openNow();
    });
  }

  openNow(): void {
    if (this.isDead) return;
    this.tunnel = this.#world.open(this);
    this.openedAtMs = this.nowMs;
    this.#planBreak();
    this.#planSleep();
    this.#expectForgotten();
    if (this.#dice.chance(0.5) && !this.hasLeft) this.#register();
  }

  /** What rang here and is still open rings again, soon after the tunnel has opened. */
  #expectForgotten(): void {
    const { tunnel } = this;
    const forgotten = [...this.#forgotten];
    this.#forgotten.clear();
    this.wire.after(1_500, () => {
      if (tunnel !== this.tunnel || !this.isOpen || this.isDead || this.hasLeft) return;
      for (const callId of forgotten) {
        const isBack = this.#rang.has(callId);
        if (!isBack && this.#world.isCallOpen(callId))
          this.complain("a call outlives its tunnel", "rings no more", callId);
      }
    });
  }

  /** As stock stacks do when their socket opens; it changes the Request-URI that the phone sees. */
  #register(): void {
    for (const { username } of this.accounts) {
      const aor = `sip:${username}@${domain}`;
      const text = sipText(`REGISTER sip:${domain} SIP/2.0`, [
        `Via: ${this.via(this.newBranch())}`,
        "Max-Forwards: 70",
        `From: <${aor}>;tag=${this.token()}`,
        `To: <${aor}>`,
        `Call-ID: reg-${this.deviceId}`,
        `CSeq: ${++this.#registers} REGISTER`,
        `Contact: <${this.contact}>;expires=600`,
      ]);
      this.ask(text, (response) => {
        if (response !== undefined && response.status !== 200 && !this.hasLeft) {
          this.complain(
            "REGISTER through the tunnel is answered by 200",
            String(response.status),
            `reg-${this.deviceId}`,
          );
        }
      });
    }
  }

  #planBreak(): void {
    const { breaksPerSec } = this.habits;
    if (breaksPerSec === 0) return;
    const { tunnel } = this;
    this.wire.after((-Math.log(1 - this.#dice.between(0, 0.999)) / breaksPerSec) * 1_000, () => {
      if (tunnel === this.tunnel && this.isOpen) this.breakTunnel();
    });
  }

  /** Idle phones close their tunnel after a while. */
  #planSleep(): void {
    const { tunnel } = this;
    this.wire.after(this.#dice.between(4_000, 12_000), () => {
      if (tunnel !== this.tunnel || !this.isOpen) return;
      if (this.ringing.size + this.talking.size === 0 && !this.#isAsking()) this.tunnel?.close();
      else this.#planSleep();
    });
  }

  /** A re-INVITE has come and has no final answer yet. */
  #isAnswering(): boolean {
    for (const { request, finalStatus } of this.served.values())
      if (request.method === "INVITE" && finalStatus === 0 && /;tag=/i.test(request.get("To"))) return true;
    return false;
  }

  #isAsking(): boolean {
    for (const asked of this.asked.values()) if (asked.finalStatus === 0 && !asked.isDead) return true;
    return false;
  }

  breakTunnel(): void {
    if (this.ringing.size > 0) this.met("tunnel lost in INVITE");
    if (this.talking.size > 0) this.met("tunnel lost in call");
    if (this.reinviting.size > 0 || this.#isAnswering()) this.met("tunnel lost in re-INVITE");
    this.tunnel?.break();
    this.brokenAtMs = this.nowMs;
    if (this.habits.forgetsRinging) {
      for (const { served, callId } of this.ringing.values()) {
        this.#forget(served);
        this.#forgetCall(callId);
      }
      this.ringing.clear();
    }
    const isBusyStill = this.ringing.size + this.talking.size > 0;
    if (this.#dice.chance(this.habits.dies)) {
      if (this.talking.size > 0) this.met("phone lost for good in call");
      return this.die();
    }
    if (this.#dice.chance(this.habits.killed)) {
      if (isBusyStill) this.met("app ended in call or ringing");
      return this.#forgetAll();
    }
    const isBusy = this.ringing.size + this.talking.size > 0;
    if (isBusy || this.#dice.chance(0.5)) {
      this.#openIn(this.#dice.chance(0.9) ? this.#dice.between(100, 4_000) : this.#dice.between(10_000, 40_000));
    }
  }

  /**
   * The shard has died and forgotten its calls. Where its will does not reach, whoever holds the phone sees to it: answers into the
   * void, or puts it down.
   */
  orphaned(): void {
    // What the old shard had sent is still under way.
    this.wire.after(300, () => this.#branches.clear());
    for (const { served, callId } of this.ringing.values()) {
      this.wire.after(this.#dice.between(1_000, 20_000), () => {
        if (!this.ringing.has(served.tag) || this.isDead) return;
        if (this.isOpen && this.#dice.chance(0.5)) return this.#answer(served, callId);
        this.ringing.delete(served.tag);
        this.respond(served, 480);
      });
    }
    for (const [key, dialog] of this.talking) {
      this.wire.after(this.#dice.between(1_000, 60_000), () => this.#hangUpSoon(key, dialog));
    }
  }

  /** The end of the world: no more tunnels. */
  goHome(): void {
    this.isDead = true;
    this.tunnel?.close();
  }

  /** The battery is empty: nothing is remembered and nothing comes any more. */
  die(): void {
    this.isDead = true;
    this.tunnel?.break();
    this.brokenAtMs = this.nowMs;
    this.#forgetAll();
  }

  /** The system has ended the app. */
  kill(): void {
    this.tunnel?.break();
    this.brokenAtMs = this.nowMs;
    this.#forgetAll();
  }

  #forgetAll(): void {
    for (const { callId } of this.ringing.values()) this.#forgetCall(callId);
    for (const served of this.served.values()) served.isForgotten = true;
    this.served.clear();
    for (const asked of this.asked.values()) asked.isDead = true;
    this.ringing.clear();
    this.talking.clear();
    this.reinviting.clear();
  }

  #forget(served: Served): void {
    served.isForgotten = true;
    this.served.delete(`${served.request.branch} INVITE`);
  }

  #forgetCall(callId: string): void {
    this.#forgotten.add(callId);
    this.#rang.delete(callId);
  }

  frame(text: string): void {
    if (this.isDead) return;
    this.receive(new SipText(text));
  }

  // ---- being called

  onRequest(served: Served): void {
    const { request } = served;
    this.#world.tagged(served.tag);
    if (/;tag=/i.test(request.get("To"))) return this.#inDialog(served);
    if (request.method !== "INVITE") return this.respond(served, 200);
    this.inviteCount++;
    const callId = request.get("Call-ID");
    const key = `${callId} ${request.cseq}`;
    const branch = this.#branches.get(key);
    if (branch !== undefined && branch !== request.branch) {
      this.complain("one leg a device", `INVITE with branches ${branch} and ${request.branch}`, callId);
    }
    this.#branches.set(key, request.branch);
    this.#ring(served, callId);
  }

  #ring(served: Served, callId: string): void {
    const dice = this.#dice;
    this.#world.rings(this, callId);
    this.#rang.add(callId);
    this.ringing.set(served.tag, { served, callId });
    const isRinging = (): boolean => this.ringing.has(served.tag) && !this.isDead;
    served.onCancel = () => {
      if (!isRinging()) return;
      this.ringing.delete(served.tag);
      this.respond(served, 487);
    };
    if (dice.chance(0.5)) this.respond(served, 100);
    const ringInMs = dice.between(20, 400);
    // RFC 3262 §3.
    const reliably = /100rel/.test([...served.request.all("Require"), ...served.request.all("Supported")].join());
    const lines = reliably ? ["Require: 100rel", "RSeq: 5"] : [];
    this.wire.after(ringInMs, () => {
      if (isRinging())
        this.respond(served, dice.chance(0.2) ? 183 : 180, { body: dice.chance(0.2) ? sdpOf("early") : "", lines });
    });
    const actInMs = ringInMs + dice.between(0, 8_000);
    const luck = dice.between(0, 1);
    if (luck < this.habits.answers) this.wire.after(actInMs, () => isRinging() && this.#answer(served, callId));
    else if (luck < this.habits.answers + this.habits.declines) {
      this.wire.after(actInMs, () => {
        if (!isRinging()) return;
        this.ringing.delete(served.tag);
        this.respond(served, dice.pick([486, 480, 603, 486]));
      });
    }
  }

  #answer(served: Served, callId: string): void {
    this.ringing.delete(served.tag);
    this.answeredTags.add(served.tag);
    const answeredAtMs = this.nowMs;
    this.respond(served, 200, { body: sdpOf("phone") });
    this.#breakSoon();
    if (served.last === undefined) return;
    const dialog = dialogOf("served", served.request, new SipText(served.last));
    const key = keyOf(callId, served.tag, dialog.remoteTag);
    this.talking.set(key, dialog);
    served.onAck = () => this.#planTalk(key, dialog);
    served.onNoAck = () => {
      if (this.isDead || !this.talking.has(key)) return;
      this.noAcks++;
      const wasCut = this.brokenAtMs >= answeredAtMs - 1_000 || this.openedAtMs >= answeredAtMs || !this.isOpen;
      if (!wasCut) this.complain("the ACK reaches who answered", "32 s without ACK", callId);
      this.#forget(served);
      this.#hangUp(key, dialog);
    };
  }

  #planTalk(key: string, dialog: UaDialog): void {
    const dice = this.#dice;
    if (dice.chance(0.15)) {
      this.wire.after(dice.between(500, 5_000), () => {
        if (this.talking.has(key) && this.isOpen) this.#reinvite(key, dialog);
      });
    }
    for (const method of ["INFO", "UPDATE", "REFER", "MESSAGE"]) {
      if (!dice.chance(0.1)) continue;
      this.wire.after(dice.between(200, 6_000), () => {
        if (this.talking.has(key) && this.isOpen) this.#ask(dialog, method);
      });
    }
    if (dice.chance(0.6)) {
      this.wire.after(dice.between(300, 20_000), () => this.#hangUpSoon(key, dialog));
    }
  }

  /** A person hangs up again when nothing happened, as long as the phone shows the call. */
  #hangUpSoon(key: string, dialog: UaDialog): void {
    if (this.isDead || !this.talking.has(key)) return;
    if (this.isOpen) this.#hangUp(key, dialog);
    else this.wire.after(1_000, () => this.#hangUpSoon(key, dialog));
  }

  #hangUp(key: string, dialog: UaDialog): void {
    if (!this.talking.delete(key)) return;
    this.endedTags.add(dialog.localTag);
    this.#ask(dialog, "BYE");
  }

  /** Networks like to change in the middle of something. */
  #breakSoon(): void {
    if (this.habits.breaksPerSec === 0 || !this.#dice.chance(0.15)) return;
    this.wire.after(this.#dice.between(0, 400), () => {
      if (this.isOpen && !this.isDead) this.breakTunnel();
    });
  }

  /** Whatever the server answers reaches the phone, on this tunnel or, within the request's 32 s, on the next. */
  #ask(dialog: UaDialog, method: string): void {
    this.#breakSoon();
    this.askIn(dialog, method, (response, request) => {
      if (response === undefined) this.judgeSilence(request);
    });
  }

  /** No answer in 32 s. What never reached the shard died with its tunnel, and so may what came back if no other tunnel opened. */
  judgeSilence(request: SipText): void {
    const isHere = this.isOpen && !this.isDead && this.nowMs - this.openedAtMs > 1_000;
    if (isHere && this.#world.hasArrived(request)) this.#world.unanswered(request.method, request.get("Call-ID"));
  }

  #reinvite(key: string, dialog: UaDialog): void {
    this.reinvite(dialog, sdpOf("hold"), Infinity, (status) => {
      if (status === 481 || status === 408) this.talking.delete(key);
    });
  }

  /** A re-INVITE at this moment, whatever else is going on. */
  reinviteNow(callId: string): void {
    for (const [key, dialog] of this.talking) if (dialog.callId === callId && this.isOpen) this.#reinvite(key, dialog);
  }

  #inDialog(served: Served): void {
    const { request } = served;
    if (request.method === "PRACK" && this.ringing.has(tagIn(request.get("To")))) {
      this.met("PRACK");
      return this.respond(served, 200);
    }
    this.serveInDialog(served);
  }

  onStrayAck(): void {
    // A repetition, or of a call that is over.
  }

  // ---- calling

  /** Calls somebody; a challenge is answered as a stock phone does. */
  call(username: string, callee: string): void {
    if (!this.isOpen || this.isDead) return;
    const dice = this.#dice;
    const callId = `out-${dice.token()}`;
    const from = `<sip:${username}@${domain}>;tag=${dice.token()}`;
    const send = (cseq: number, lines: readonly string[]): void => {
      const text = sipText(
        `INVITE sip:${callee}@${domain} SIP/2.0`,
        [
          `Via: ${this.via(this.newBranch())}`,
          "Max-Forwards: 70",
          `From: ${from}`,
          `To: <sip:${callee}@${domain}>`,
          `Call-ID: ${callId}`,
          `CSeq: ${cseq} INVITE`,
          `Contact: <${this.contact}>`,
          ...lines,
          "Content-Type: application/sdp",
        ],
        sdpOf("phone"),
      );
      const asked: Asked = this.ask(text, (response) => {
        if (response === undefined) return;
        if (response.status === 407 && lines.length === 0) {
          send(cseq + 1, ['Proxy-Authorization: Digest username="phone", response="0123456789abcdef0123456789abcdef"']);
        } else if (response.status >= 200 && response.status < 300) this.#connected(asked, response, callId);
      });
      if (dice.chance(0.2)) this.wire.after(dice.between(100, 8_000), () => this.cancel(asked));
    };
    send(1, []);
  }

  #connected(asked: Asked, response: SipText, callId: string): void {
    const dialog = dialogOf("asked", asked.request, response);
    this.acknowledge(dialog, asked.request.cseq);
    const key = keyOf(callId, dialog.localTag, dialog.remoteTag);
    if (this.talking.has(key) || this.endedTags.has(dialog.localTag)) return;
    this.talking.set(key, dialog);
    this.#planTalk(key, dialog);
  }

  /** A text message to somebody. */
  message(username: string, callee: string): void {
    if (!this.isOpen || this.isDead) return;
    const text = sipText(
      `MESSAGE sip:${callee}@${domain} SIP/2.0`,
      [
        `Via: ${this.via(this.newBranch())}`,
        "Max-Forwards: 70",
        `From: <sip:${username}@${domain}>;tag=${this.#dice.token()}`,
        `To: <sip:${callee}@${domain}>`,
        `Call-ID: text-${this.#dice.token()}`,
        "CSeq: 1 MESSAGE",
        "Content-Type: text/plain",
      ],
      "On my way",
    );
    const asked: Asked = this.ask(text, (response) => {
      if (response === undefined) this.judgeSilence(asked.request);
    });
  }
}
