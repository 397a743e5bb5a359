import type { Happening, Registration, RegistrarNewsItem } from "../api/answers.ts";
import type { Tone } from "./registration.ts";

export const providerNames: Readonly<Record<string, string>> = {
  apns: "APNs",
  fcm: "FCM",
  webpush: "Web Push",
  webhook: "webhook",
};

const pushNames: Readonly<Record<string, string>> = {
  call: "a call",
  cancel: "the call is over",
  message: "a message",
  voicemail: "voicemail",
  missed: "a missed call",
  refused: "the registrar refuses",
  lease: "not seen for long",
  test: "a test",
};

/** One line of an account's story. */
export interface HappeningWords {
  readonly tone: Tone;
  readonly text: string;
}

/** What happened, in a sentence; `deviceName` names a device. */
export function wordsOf(happening: Happening, deviceName: (device: string) => string): HappeningWords {
  switch (happening.topic) {
    case "registration":
      return ofRegistration(happening);
    case "modeLearned":
      return { tone: "quiet", text: `Its registrar's answers showed which mode it allows: ${happening.mode}.` };
    case "registrar":
      return ofRegistrar(happening);
    case "push": {
      const { provider, kind, device, outcome, reason } = happening;
      const push = `Push to ${deviceName(device)} (${pushNames[kind] ?? kind})`;
      const by = providerNames[provider] ?? provider;
      if (outcome === "accepted") return { tone: "good", text: `${push}: taken by ${by}.` };
      const why = reason === undefined ? "" : ` (${reason})`;
      return outcome === "tokenDead"
        ? { tone: "bad", text: `${push}: ${by} does not know its token any more${why}.` }
        : { tone: "warn", text: `${push}: not taken by ${by}${why}.` };
    }
    default:
      return { tone: "quiet", text: (happening satisfies never as { readonly topic: string }).topic };
  }
}

function ofRegistrar({ what, level, registrar, realm, issuer, formerIssuer }: RegistrarNewsItem): HappeningWords {
  const tone = level === "warn" ? "warn" : "quiet";
  switch (what) {
    case "realmChanged":
      return {
        tone,
        text: `${registrar} asks for another realm than before: ${realm ?? "none"}. Was the server moved?`,
      };
    case "certificateRenewed":
      return { tone, text: `${registrar} shows a renewed certificate, of the same issuer: ${issuer ?? "unknown"}.` };
    case "certificateChanged":
      return {
        tone,
        text: `${registrar} shows a certificate of another issuer: ${issuer ?? "unknown"}, before ${formerIssuer ?? "unknown"}. Was its name moved?`,
      };
    default:
      return what satisfies never;
  }
}

function ofRegistration({ state, lastStatus, lastReason, registrar, transport }: Registration): HappeningWords {
  const answer = [lastStatus, lastReason].filter((part) => part !== undefined).join(" ");
  const at =
    registrar === undefined
      ? ""
      : ` at ${registrar}${transport === undefined ? "" : ` over ${transport.toUpperCase()}`}`;
  switch (state) {
    case "registered":
      return { tone: "good", text: `Registered${at}.` };
    case "refused":
      return { tone: "bad", text: `Refused${at}${answer === "" ? "" : `: ${answer}`}.` };
    case "retrying":
      return { tone: "warn", text: `An attempt failed${at}${answer === "" ? "" : `: ${answer}`}.` };
    case "idle":
      return { tone: "quiet", text: "Not registered any more: no sleeping device needs it." };
    case "registering":
      return { tone: "busy", text: `Registering${at}.` };
    case "unregistering":
      return { tone: "busy", text: `Taking its binding away${at}.` };
    default:
      return state satisfies never;
  }
}
