import { LRUCache } from "lru-cache";
import type { AccountRecord } from "../base/records.ts";
import type { ServerCertificate } from "../net/server-certificate.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { parseHostPort } from "../sip/host-port.ts";
import type { Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { Event } from "../workers/protocol.ts";
import type { OperatorFeed } from "./operator-feed.ts";
import { rfc3339 } from "./views.ts";

/** Servers whose keys are remembered, over restarts; beyond, the one longest unheard of is forgotten. */
const serversMax = 2_000;
/** Keys of one server: a cluster's nodes may each have their own. */
const keysMax = 8;
/** Servers whose news are remembered for those who ask. */
const newsServersMax = 500;
const newsPerServerMax = 8;
/** A provider that renames its realm does so for thousands of accounts: its name is logged so often. */
const realmLogEveryMs = 60_000;
const settingName = "serverKeys";

type KnownKey = Omit<ServerCertificate, "server">;

/** A server has a key that it has not shown before; times are RFC 3339. No secret is in it. */
export interface RegistrarNewsItem {
  readonly at: string;
  readonly what: "certificateRenewed" | "certificateChanged";
  /** "warn": look at it, the name may have moved to somebody else. */
  readonly level: "info" | "warn";
  readonly registrar: string;
  readonly issuer: string;
  readonly formerIssuer: string;
  readonly formerValidUntil?: string;
}

/**
 * Registrars that are not quite who they were: another realm, another key. That is how a moved registrar shows itself, be it moved by its operator or
 * by somebody who has taken its name. Told to the operator's feed, the log and the metrics; nothing is refused for it.
 */
export class RegistrarNews {
  readonly #store: Pick<Store, "setting" | "putSetting">;
  readonly #feed: OperatorFeed;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #keys: LRUCache<string, readonly KnownKey[]>;
  readonly #ofServer = new LRUCache<string, readonly RegistrarNewsItem[]>({ max: newsServersMax });
  readonly #realmLoggedAtMs = new LRUCache<string, number>({ max: newsServersMax });
  #isWriting = false;
  #isDirty = false;

  constructor(options: {
    readonly store: Pick<Store, "setting" | "putSetting">;
    readonly feed: OperatorFeed;
    readonly metrics: Metrics;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#store = options.store;
    this.#feed = options.feed;
    this.#metrics = options.metrics;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#keys = new LRUCache({ max: serversMax });
    for (const [server, keys] of readKeys(this.#store.setting(settingName))) this.#keys.set(server, keys);
  }

  /** An account's credentials were taken for another realm than before. */
  realmChanged({ accountId, registrar, realm }: Extract<Event, { kind: "realmChanged" }>): void {
    const nowMs = this.#clock.wallMs();
    const at = rfc3339(nowMs);
    this.#metrics.alarm("registrar_realm");
    this.#feed.publish("registrar", { at, what: "realmChanged", level: "warn", registrar, account: accountId, realm });
    if (nowMs - (this.#realmLoggedAtMs.get(registrar) ?? 0) < realmLogEveryMs) return;
    this.#realmLoggedAtMs.set(registrar, nowMs);
    this.#log.warn("registrar.realmChanged", { registrar, realm, account: accountId });
  }

  /**
   * A server showed this certificate, which its name and an authority vouch for. A key never seen before is news: of level info when an issuer that has
   * vouched for this server before does so again (a renewal), else of level warn.
   */
  certificate({ server, ...shown }: ServerCertificate): void {
    const known = this.#keys.get(server);
    if (known?.some(({ key }) => key === shown.key) === true) return;
    this.#keys.set(server, [...(known ?? []), shown].slice(-keysMax));
    void this.#keepKeys();
    const former = known?.at(-1);
    if (known === undefined || former === undefined) return;
    const isRenewal = known.some(({ issuer }) => issuer === shown.issuer);
    const item: RegistrarNewsItem = {
      at: rfc3339(this.#clock.wallMs()),
      what: isRenewal ? "certificateRenewed" : "certificateChanged",
      level: isRenewal ? "info" : "warn",
      registrar: server,
      issuer: shown.issuer,
      formerIssuer: former.issuer,
      ...(former.validToMs > 0 ? { formerValidUntil: rfc3339(former.validToMs) } : {}),
    };
    const { at: _at, what, level, ...fields } = item;
    this.#log[level](`registrar.${what}`, fields);
    if (level === "warn") this.#metrics.alarm("registrar_certificate");
    this.#ofServer.set(server, [item, ...(this.#ofServer.get(server) ?? [])].slice(0, newsPerServerMax));
    this.#feed.publish("registrar", { ...item });
  }

  /** What became known of the account's registrar, the newest first. What is about the account alone is in its story. */
  of(account: AccountRecord): readonly RegistrarNewsItem[] {
    const place = parseHostPort(account.alternateProxy ?? account.proxy ?? account.domain);
    return place === undefined ? [] : (this.#ofServer.get(place.host.toLowerCase()) ?? []);
  }

  /** One write at a time; what comes meanwhile goes with the next. Never rejects. */
  async #keepKeys(): Promise<void> {
    this.#isDirty = true;
    if (this.#isWriting) return;
    this.#isWriting = true;
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        await this.#store.putSetting(settingName, JSON.stringify([...this.#keys.entries()].toReversed()));
      } catch (cause) {
        this.#log.error("serverKeys.notKept", { cause });
      }
    }
    this.#isWriting = false;
  }
}

/** What was kept; nothing when there is nothing, or it is damaged. */
function readKeys(text: string | undefined): readonly (readonly [string, readonly KnownKey[]])[] {
  try {
    const kept: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(kept) ? kept.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(value: unknown): value is [string, readonly KnownKey[]] {
  return Array.isArray(value) && typeof value[0] === "string" && Array.isArray(value[1]) && value[1].every(isKnownKey);
}

function isKnownKey(value: unknown): value is KnownKey {
  return (
    typeof value === "object" &&
    value !== null &&
    "key" in value &&
    typeof value.key === "string" &&
    "issuer" in value &&
    typeof value.issuer === "string" &&
    "validToMs" in value &&
    typeof value.validToMs === "number"
  );
}
