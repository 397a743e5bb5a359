import { createHash, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ApnsConfig, AppConfig, FcmConfig } from "../config/config.ts";
import type { Log } from "../observe/log.ts";
import type { PushProvider } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import { readEndpoint } from "./endpoint.ts";
import type { SenderTable } from "./gateway.ts";
import type { PushSender } from "./types.ts";
import type { VapidKeys } from "./vapid-keys.ts";
import type { UrlPolicy } from "./webpush.ts";

export interface SenderOptions {
  readonly vapid: VapidKeys;
  readonly allowUrl: UrlPolicy;
  /** Web Push services on this machine over plain HTTP, for demo and tests; `allowUrl` is asked all the same. */
  readonly allowLoopbackHttp?: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** A provider that cannot serve, in words for the operator; never holds a secret. */
export interface SenderFault {
  readonly app: string;
  readonly provider: PushProvider;
  readonly text: string;
}

export interface SenderSet {
  /** Stays the same object over reloads: give it to the gateway. */
  readonly table: SenderTable;
  /** What could not be opened at the last opening or reload. */
  readonly faults: readonly SenderFault[];
  /**
   * Reads keys and credentials anew (SIGHUP). What has not changed stays as it is, connections included; what has become
   * unreadable is a fault and the old sender goes on.
   */
  reload(apps: readonly AppConfig[]): Promise<readonly SenderFault[]>;
  /** Opens connections ahead of the first call; what fails is only logged. */
  warm(): Promise<void>;
  /** For `wakeline check`: every sender asks its provider; faults of opening are included. */
  probe(): Promise<readonly SenderFault[]>;
  close(): Promise<void>;
}

/** All inputs of one sender, files read; equal inputs make equal senders. */
interface Plan {
  readonly inputs: readonly (string | undefined)[];
  open(): Promise<PushSender>;
}
type PlanResult = Plan | { readonly fault: string };

interface Open {
  readonly sender: PushSender;
  readonly fingerprint: string;
}

/** Opens a sender for each provider of each app. Never rejects for a bad key or file: that is a fault of that provider alone. */
export async function openSenders(apps: readonly AppConfig[], options: SenderOptions): Promise<SenderSet> {
  const set = new Senders(options);
  await set.reload(apps);
  return set;
}

class Senders implements SenderSet {
  readonly #options: SenderOptions;
  readonly #open = new Map<string, Map<PushProvider, Open>>();
  readonly #table = new Map<string, Partial<Record<PushProvider, PushSender>>>();
  #faults: readonly SenderFault[] = [];

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  get table(): SenderTable {
    return this.#table;
  }

  get faults(): readonly SenderFault[] {
    return this.#faults;
  }

  async reload(apps: readonly AppConfig[]): Promise<readonly SenderFault[]> {
    const faults: SenderFault[] = [];
    const retired: PushSender[] = [];
    const wanted = new Set(apps.map((app) => app.id));
    for (const app of apps) {
      const before = this.#open.get(app.id) ?? new Map<PushProvider, Open>();
      const after = new Map<PushProvider, Open>();
      for (const [provider, plan] of plansOf(app, this.#options)) {
        const old = before.get(provider);
        const opened = await open(plan, old);
        if ("fault" in opened) faults.push({ app: app.id, provider, text: opened.fault });
        const kept = "fault" in opened ? old : opened;
        if (kept !== undefined) after.set(provider, kept);
      }
      for (const [provider, { sender }] of before) if (after.get(provider)?.sender !== sender) retired.push(sender);
      this.#open.set(app.id, after);
      this.#table.set(app.id, Object.fromEntries(after.entries().map(([provider, { sender }]) => [provider, sender])));
    }
    for (const [app, providers] of this.#open) {
      if (wanted.has(app)) continue;
      for (const { sender } of providers.values()) retired.push(sender);
      this.#open.delete(app);
      this.#table.delete(app);
    }
    this.#faults = faults;
    await Promise.all(retired.map((sender) => sender.close()));
    return faults;
  }

  async warm(): Promise<void> {
    await Promise.all(this.#senders().map(({ sender }) => sender.warm()));
  }

  async probe(): Promise<readonly SenderFault[]> {
    const probed = await Promise.all(
      this.#senders().map(async ({ app, provider, sender }) => {
        const text = await sender.probe();
        return text === undefined ? [] : [{ app, provider, text }];
      }),
    );
    return [...this.#faults, ...probed.flat()];
  }

  async close(): Promise<void> {
    await Promise.all(this.#senders().map(({ sender }) => sender.close()));
    this.#open.clear();
    this.#table.clear();
  }

  #senders(): { app: string; provider: PushProvider; sender: PushSender }[] {
    return [...this.#open].flatMap(([app, providers]) =>
      [...providers].map(([provider, { sender }]) => ({ app, provider, sender })),
    );
  }
}

async function open(plan: PlanResult, old: Open | undefined): Promise<Open | { readonly fault: string }> {
  if ("fault" in plan) return plan;
  const fingerprint = createHash("sha256").update(JSON.stringify(plan.inputs)).digest("hex");
  if (old?.fingerprint === fingerprint) return old;
  try {
    return { sender: await plan.open(), fingerprint };
  } catch (cause) {
    return { fault: cause instanceof Error ? cause.message : String(cause) };
  }
}

function plansOf(app: AppConfig, options: SenderOptions): [PushProvider, PlanResult][] {
  const plans: [PushProvider, PlanResult][] = [];
  if (app.apns !== undefined) plans.push(["apns", planApns(app.apns, options)]);
  if (app.fcm !== undefined) plans.push(["fcm", planFcm(app.fcm, options)]);
  if (app.webpush !== undefined) plans.push(["webpush", planWebPush(app.webpush.subject, options)]);
  if (app.webhook !== undefined) plans.push(["webhook", planWebhook(app.webhook, options)]);
  return plans;
}

type FileResult = { readonly text: string | undefined } | { readonly fault: string };

function readText(name: string, file: string | undefined): FileResult {
  if (file === undefined || file === "") return { text: undefined };
  try {
    return { text: readFileSync(file, "utf8") };
  } catch (cause) {
    return { fault: `${name} ${file}: ${(cause as { readonly code?: string }).code ?? "cannot be read"}` };
  }
}

function planApns(config: ApnsConfig, { clock, log }: SenderOptions): PlanResult {
  const key = readText("apns key_file", config.keyFile);
  if ("fault" in key) return key;
  const ca = readText("apns ca_file", config.caFile);
  if ("fault" in ca) return ca;
  const pem = key.text ?? "";
  try {
    const parsed = createPrivateKey(pem);
    if (parsed.asymmetricKeyDetails?.namedCurve !== "prime256v1")
      return { fault: `apns key_file ${config.keyFile}: not a P-256 key` };
  } catch {
    return { fault: `apns key_file ${config.keyFile}: not a private key in PEM` };
  }
  const own =
    config.endpoint === undefined || config.endpoint === ""
      ? undefined
      : readEndpoint("apns endpoint", config.endpoint);
  if (own?.ok === false) return { fault: own.text };
  const { keyId, teamId, topic } = config;
  return {
    inputs: [pem, keyId, teamId, topic, own?.url.href, ca.text],
    async open() {
      // The libraries of providers that nobody uses are not even loaded.
      const { ApnsSender, appleHosts } = await import("./apns.ts");
      const hosts = {
        production: own?.url ?? new URL(appleHosts.production),
        development: own?.url ?? new URL(appleHosts.development),
      };
      return new ApnsSender({ key: { pem, keyId, teamId }, topic, hosts, trust: { ca: ca.text }, clock, log });
    },
  };
}

function planFcm(config: FcmConfig, { clock, log }: SenderOptions): PlanResult {
  const file = readText("fcm service_account_file", config.serviceAccountFile);
  if ("fault" in file) return file;
  const ca = readText("fcm ca_file", config.caFile);
  if ("fault" in ca) return ca;
  const text = file.text ?? "";
  return {
    inputs: [text, config.endpoint, config.tokenEndpoint, ca.text],
    async open() {
      const { FcmSender, googleHost } = await import("./fcm.ts");
      const { readServiceAccount } = await import("./google-token.ts");
      const read = readServiceAccount(text);
      if (!read.ok) throw new Error(`fcm ${config.serviceAccountFile}: ${read.text}`);
      createPrivateKey(read.account.privateKeyPem);
      const endpoint = readEndpoint(
        "fcm endpoint",
        config.endpoint === undefined || config.endpoint === "" ? googleHost : config.endpoint,
      );
      if (!endpoint.ok) throw new Error(endpoint.text);
      const tokenUri =
        config.tokenEndpoint === undefined || config.tokenEndpoint === ""
          ? read.account.tokenUri
          : config.tokenEndpoint;
      const tokenEndpoint = readEndpoint("fcm token_endpoint", tokenUri);
      if (!tokenEndpoint.ok) throw new Error(tokenEndpoint.text);
      return new FcmSender({
        account: read.account,
        endpoint: endpoint.url,
        tokenEndpoint: tokenEndpoint.url,
        trust: { ca: ca.text },
        clock,
        log,
      });
    },
  };
}

function planWebPush(
  subject: string,
  { vapid, allowUrl, allowLoopbackHttp = false, clock }: SenderOptions,
): PlanResult {
  return {
    inputs: [subject, vapid.publicKey, vapid.privateKey],
    async open() {
      const { WebPushSender } = await import("./webpush.ts");
      return new WebPushSender({ subject, vapid, allowUrl, allowLoopbackHttp, clock });
    },
  };
}

function planWebhook(config: { readonly url: string; readonly secret: string }, { clock }: SenderOptions): PlanResult {
  const { secret } = config;
  if (secret === "") return { fault: "webhook secret is empty" };
  const url = URL.parse(config.url);
  // Plain http is the operator's choice here: a relay beside us in a private network (`wakeline check` remarks on it).
  if (url === null || !/^https?:$/.test(url.protocol))
    return { fault: `webhook url is not an http or https URL: ${config.url}` };
  return {
    inputs: [url.href, secret],
    async open() {
      const { WebhookSender } = await import("./webhook.ts");
      return new WebhookSender({ url, secret, clock });
    },
  };
}
