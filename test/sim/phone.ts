import type { AccountId, DeviceId } from "../../src/base/ids.ts";
import { SipText, sipText } from "../fakes/sip-text.ts";
import type { VirtualWire } from "../fakes/virtual-network.ts";
import type { Dice } from "./dice.ts";
import { domain } from "./directory.ts";
import { dialogOf, sdpOf, tagIn, type UaDialog } from "./sip.ts";
import { type Asked, type Served, Ua } from "./ua.ts";

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
export class Phone extends Ua {
  readonly reliable = true;
  readonly contact: string;
  readonly deviceId: DeviceId;
  readonly accounts: readonly { readonly accountId: AccountId; readonly username: string }[];
  readonly habits: PhoneHabits;
  readonly ringing = new Map<string, Ringing>();
  /** By call: Call-ID and CSeq, the branch it came with. */
  readonly #branches = new Map<string, string>();
  readonly talking = new Map<string, UaDialog>();
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
    if (this.#dice.chance(0.5) && !this.hasLeft) this.#register();
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

  #isAsking(): boolean {
    for (const asked of this.asked.values()) if (asked.finalStatus === 0 && !asked.isDead) return true;
    return false;
  }

  breakTunnel(): void {
    this.tunnel?.break();
    this.brokenAtMs = this.nowMs;
    if (this.habits.forgetsRinging) {
      for (const { served } of this.ringing.values()) this.#forget(served);
      this.ringing.clear();
    }
    if (this.#dice.chance(this.habits.dies)) return this.die();
    if (this.#dice.chance(this.habits.killed)) return this.#forgetAll();
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
    for (const served of this.served.values()) served.isForgotten = true;
    this.served.clear();
    for (const asked of this.asked.values()) asked.isDead = true;
    this.ringing.clear();
    this.talking.clear();
  }

  #forget(served: Served): void {
    served.isForgotten = true;
    this.served.delete(`${served.request.branch} INVITE`);
  }

  frame(text: string): void {
    if (this.isDead) return;
    this.receive(new SipText(text));
  }

  // ---- being called

  onRequest(served: Served): void {
    const { request } = served;
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
    this.ringing.set(served.tag, { served, callId });
    const isRinging = (): boolean => this.ringing.has(served.tag) && !this.isDead;
    served.onCancel = () => {
      if (!isRinging()) return;
      this.ringing.delete(served.tag);
      this.respond(served, 487);
    };
    if (dice.chance(0.5)) this.respond(served, 100);
    const ringInMs = dice.between(20, 400);
    this.wire.after(ringInMs, () => {
      if (isRinging())
        this.respond(served, dice.chance(0.2) ? 183 : 180, { body: dice.chance(0.2) ? sdpOf("early") : "" });
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
    if (dice.chance(0.2)) {
      this.wire.after(dice.between(200, 6_000), () => {
        if (this.talking.has(key)) this.request(dialog, "INFO", [], "", () => {});
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
    const sentAtMs = this.nowMs;
    this.request(dialog, "BYE", [], "", (response) => {
      const wasCut = !this.isOpen || this.openedAtMs >= sentAtMs || this.isDead;
      if (response === undefined && !wasCut) this.#world.unanswered("BYE", dialog.callId);
    });
  }

  #reinvite(key: string, dialog: UaDialog): void {
    const asked: Asked = this.request(dialog, "INVITE", [], sdpOf("hold"), (response) => {
      if (response === undefined || response.status < 200) return;
      if (response.status < 300) this.acknowledge(dialog, asked.request.cseq);
      else if (response.status === 481 || response.status === 408) this.talking.delete(key);
    });
  }

  #inDialog(served: Served): void {
    const { request } = served;
    const callId = request.get("Call-ID");
    const key = keyOf(callId, tagIn(request.get("To")), tagIn(request.get("From")));
    const dialog = this.talking.get(key);
    if (dialog === undefined) {
      // PRACK and BYE of a call that still rings have no dialog yet here.
      return this.respond(served, 481);
    }
    if (request.method === "BYE") {
      this.talking.delete(key);
      this.endedTags.add(dialog.localTag);
    }
    this.respond(served, 200, request.method === "INVITE" ? { body: sdpOf("phone again") } : {});
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
}

export function keyOf(callId: string, localTag: string, remoteTag: string): string {
  return `${callId} ${localTag} ${remoteTag}`;
}
