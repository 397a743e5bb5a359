import type { AccountDevice, Registration, RegistrationState } from "../api/answers.ts";
import { fromNow, timeOf } from "./figures.ts";

/** What the policy of outgoing traffic says of an address it forbids. */
const forbidden =
  /special-purpose network|of this machine|global unicast|Wakeline itself|one of SIP's|not allowed|egress/;

/** How much attention a state wants. */
export type Tone = "good" | "busy" | "warn" | "bad" | "quiet";

export const stateNames: Readonly<Record<RegistrationState, string>> = {
  registered: "Registered",
  registering: "Registering",
  retrying: "Retrying",
  refused: "Refused",
  unregistering: "Signing off",
  idle: "Idle",
};

export const stateTones: Readonly<Record<RegistrationState, Tone>> = {
  registered: "good",
  registering: "busy",
  retrying: "warn",
  refused: "bad",
  unregistering: "busy",
  idle: "quiet",
};

/** A registration told to somebody who has to do something about it, or nothing. */
export interface Story {
  readonly headline: string;
  /** What is known, a sentence each. */
  readonly facts: readonly string[];
  /** What to do; absent when nothing is to be done. */
  readonly advice?: string;
}

/** `devices`: of the account, as far as they are known. */
export function storyOf(registration: Registration, devices: readonly AccountDevice[], nowMs: number): Story {
  const asleep = devices.filter(({ presence }) => presence === "background");
  const story = ofState(registration, devices, nowMs);
  const unreachable = asleep.filter(({ wakeable }) => !wakeable).length;
  if (story.advice !== undefined || asleep.length === 0 || unreachable < asleep.length) return story;
  return {
    ...story,
    facts: [...story.facts, "No push can reach its sleeping devices: their push tokens are dead."],
    advice: "Open the app on the phone: it hands over a new push token by itself.",
  };
}

function ofState(registration: Registration, devices: readonly AccountDevice[], nowMs: number): Story {
  const { state, expiresAt, nextAttemptAt } = registration;
  switch (state) {
    case "registered":
      return {
        headline: `Registered in the phone's place${atServer(registration)}.`,
        facts: [
          ...(expiresAt === undefined
            ? []
            : [`The binding holds until ${timeOf(expiresAt, nowMs)} (${fromNow(expiresAt, nowMs)}).`]),
          ...next("It is renewed", nextAttemptAt, nowMs),
        ],
      };
    case "registering":
      return {
        headline: `Registering now${atServer(registration)}.`,
        facts: [...lastAnswer(registration), ...next("Tried again", nextAttemptAt, nowMs)],
      };
    case "unregistering":
      return { headline: `Taking its binding away${atServer(registration)}.`, facts: lastAnswer(registration) };
    case "idle":
      return idleStory(devices);
    case "retrying":
      return {
        headline: "Not registered; Wakeline tries again by itself.",
        facts: [
          ...lastAnswer(registration),
          ...(expiresAt === undefined ? [] : [`The last binding still holds until ${timeOf(expiresAt, nowMs)}.`]),
          ...next("The next attempt comes", nextAttemptAt, nowMs),
        ],
        advice: retryAdvice(registration),
      };
    case "refused":
      return {
        headline: "Refused by the registrar; Wakeline leaves it alone.",
        facts: [
          ...lastAnswer(registration),
          ...next("Only to see whether that has changed it asks again", nextAttemptAt, nowMs),
        ],
        advice: refusalAdvice(registration),
      };
    default:
      return state satisfies never;
  }
}

function idleStory(devices: readonly AccountDevice[]): Story {
  if (devices.length === 0) {
    return {
      headline: "Not registered: no device subscribes to it.",
      facts: [],
      advice: "No device uses this account. Remove it if that stays so.",
    };
  }
  const awake = devices.filter(({ presence }) => presence === "foreground").length;
  return awake === devices.length
    ? { headline: "Not registered: the phone is in the foreground and registers itself.", facts: [] }
    : { headline: "Not registered yet.", facts: ["A sleeping device wants it: it takes its turn shortly."] };
}

function refusalAdvice({ lastStatus, lastReason }: Registration): string {
  switch (lastStatus) {
    case 401:
    case 407:
      return lastReason?.startsWith("no challenge") === true
        ? "The server asks for a way of proving the password that is not allowed, an old hash for instance. Set the server to digest with MD5, SHA-256 or SHA-512-256."
        : lastReason?.startsWith("no credentials") === true
          ? "The server asks for another realm than the stored hash is of. The app must hand over a hash for that realm, or the password."
          : "The password or the auth username is wrong. Correct it in the app: new credentials are tried at once.";
    case 403:
      return "The server knows the account and forbids it: the password may be wrong, the account blocked or the address of this server banned. Look at the server, correct it in the app, then retry.";
    case 404:
      return "The server does not know this account. Check username and domain in the app.";
    case 423:
      return "The server asks for a longer expiry than it accepts. Look at its minimum and maximum expiry.";
    default:
      return lastStatus === undefined || lastStatus < 400
        ? "Look for the REGISTER in the server's log, correct what it complains of, then retry."
        : "Look up why the server answers so, correct it there or in the app, then retry.";
  }
}

function retryAdvice({ lastStatus, lastReason }: Registration): string {
  if (lastReason !== undefined && /^no address|^no server|^not a host/.test(lastReason)) {
    return "The name of the server leads nowhere. Check domain and proxy in the app, and the resolver of this machine.";
  }
  if (lastReason !== undefined && forbidden.test(lastReason)) {
    return "The server is in a network that this one may not reach. If it is yours, name it in sip.egress_allow.";
  }
  if (lastStatus === 503)
    return "The server is overloaded or in maintenance. It says when to come back; Wakeline waits until then.";
  if (lastStatus === undefined || lastStatus === 408 || lastReason === "no answer") {
    return "Check that the server runs and that this machine reaches it: name, port, transport, firewall.";
  }
  return "Wait: it often passes by itself. If it stays so, look for the REGISTER in the server's log.";
}

function atServer({ registrar, transport }: Registration): string {
  if (registrar === undefined) return "";
  return ` at ${registrar}${transport === undefined ? "" : ` over ${transport.toUpperCase()}`}`;
}

function lastAnswer({ lastStatus, lastReason }: Registration): readonly string[] {
  if (lastStatus !== undefined) {
    return [`The last answer was ${lastStatus}${lastReason === undefined ? "" : ` ${lastReason}`}.`];
  }
  return lastReason === undefined ? [] : [`The last attempt ended with: ${lastReason}.`];
}

function next(what: string, at: string | undefined, nowMs: number): readonly string[] {
  return at === undefined ? [] : [`${what} ${fromNow(at, nowMs)}.`];
}
