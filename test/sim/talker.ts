import type { SipText } from "../fakes/sip-text.ts";
import { sdpOf, tagIn, type UaDialog } from "./sip.ts";
import { type Asked, type Served, Ua } from "./ua.ts";

/** What a world must have seen for its rules to mean anything; each is counted. */
export const happenings = [
  "several devices",
  "joined while others ring",
  "tunnel lost in INVITE",
  "tunnel lost in call",
  "tunnel lost in re-INVITE",
  "app ended in call or ringing",
  "phone lost for good in call",
  "woken again",
  "re-INVITE glare",
  "PRACK",
  "UPDATE",
  "REFER",
  "challenge in dialog",
  "challenge left unanswered",
  "MESSAGE held for a sleeping phone",
  "answer repeated on a new tunnel",
  "shard died under a call",
] as const;
export type Happening = (typeof happenings)[number];

/** The final answer, undefined for none in time, and the request that it answers: the first, or the one with credentials. */
export type OnFinal = (response: SipText | undefined, request: SipText) => void;

const credentials = 'Proxy-Authorization: Digest username="phone", response="0123456789abcdef0123456789abcdef"';
export const challengeLines = [
  'Proxy-Authenticate: Digest realm="virtual.test", nonce="0123456789", algorithm=MD5, qop="auth"',
] as const;

/** An end of calls: what both ends do inside a dialog (RFC 3261 §12, RFC 3311, RFC 3515), beside the transactions of `Ua`. */
export abstract class Talker extends Ua {
  /** By `keyOf`. */
  readonly talking = new Map<string, UaDialog>();
  /** Dialogs with an INVITE of ours that has no final answer. */
  readonly reinviting = new Set<UaDialog>();

  abstract met(happening: Happening): void;
  /** How long until a re-INVITE is answered. */
  abstract thinkMs(): number;
  /** Whether this request is sent back for credentials. */
  abstract challenges(served: Served): boolean;
  /** Whether a challenge to a request of ours is answered. */
  abstract repeats(): boolean;
  /** The other side has hung up. */
  abstract onEnded(key: string, dialog: UaDialog): void;

  /** A request in a dialog; what it is challenged for is sent again with credentials, or never. */
  askIn(dialog: UaDialog, method: string, onFinal: OnFinal, body = ""): Asked {
    return this.#askIn(dialog, method, [], body, onFinal);
  }

  #askIn(dialog: UaDialog, method: string, lines: readonly string[], body: string, onFinal: OnFinal): Asked {
    const more = method === "REFER" ? ["Refer-To: <sip:carol@virtual.test>"] : [];
    const asked: Asked = this.request(dialog, method, [...lines, ...more], body, (response) => {
      if (response !== undefined && response.status < 200) return;
      if (response?.status !== 407 || lines.length > 0) return onFinal(response, asked.request);
      if (this.repeats()) this.#askIn(dialog, method, [credentials], body, onFinal);
      else {
        this.met("challenge left unanswered");
        onFinal(response, asked.request);
      }
    });
    return asked;
  }

  /** Re-INVITE, its ACK included. `patienceMs`: after that it is taken back. */
  reinvite(dialog: UaDialog, body: string, patienceMs: number, onFinal: (status: number) => void): void {
    if (this.reinviting.has(dialog)) return;
    this.reinviting.add(dialog);
    const asked: Asked = this.askIn(
      dialog,
      "INVITE",
      (response) => {
        this.reinviting.delete(dialog);
        const status = response?.status ?? 0;
        if (status >= 200 && status < 300) this.acknowledge(dialog, response?.cseq ?? asked.request.cseq);
        onFinal(status);
      },
      body,
    );
    if (patienceMs < Infinity) this.wire.after(patienceMs, () => this.cancel(asked));
  }

  /** A request with a To-tag. */
  serveInDialog(served: Served): void {
    const { request } = served;
    const callId = request.get("Call-ID");
    const key = keyOf(callId, tagIn(request.get("To")), tagIn(request.get("From")));
    const dialog = this.talking.get(key);
    if (dialog === undefined) return this.respond(served, 481);
    if (this.challenges(served)) {
      this.met("challenge in dialog");
      return this.respond(served, 407, { lines: challengeLines });
    }
    switch (request.method) {
      case "BYE":
        this.talking.delete(key);
        this.respond(served, 200);
        return this.onEnded(key, dialog);
      case "INVITE": {
        // §14.2: ours is open.
        if (this.reinviting.has(dialog)) {
          this.met("re-INVITE glare");
          return this.respond(served, 491);
        }
        served.onCancel = () => this.respond(served, 487);
        const answer = (): void => this.respond(served, 200, { body: sdpOf("again") });
        const thinkMs = this.thinkMs();
        if (thinkMs === 0) answer();
        else {
          this.respond(served, 100);
          this.wire.after(thinkMs, answer);
        }
        return;
      }
      case "UPDATE":
        this.met("UPDATE");
        return this.respond(served, 200, { body: sdpOf("updated") });
      case "REFER": {
        this.met("REFER");
        this.respond(served, 202);
        const lines = ["Event: refer", "Subscription-State: terminated;reason=noresource"];
        this.request(dialog, "NOTIFY", lines, "SIP/2.0 200 OK\r\n", () => {});
        return;
      }
      default:
        this.respond(served, 200);
    }
  }
}

export function keyOf(callId: string, localTag: string, remoteTag: string): string {
  return `${callId} ${localTag} ${remoteTag}`;
}
