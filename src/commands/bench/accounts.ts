import type { AccountId, DeviceId, SubscriptionId } from "../../base/ids.ts";
import { openLog } from "../../observe/log.ts";
import { type OpenStore, openStore } from "../../store/open.ts";
import { loadApp } from "./run-folder.ts";
import { expandTemplate } from "./template.ts";

/** Writes under way at once: the store worker makes a transaction of each batch it finds waiting. */
const batchAccounts = 2_000;

export interface LoadAccounts {
  readonly count: number;
  readonly userTemplate: string;
  readonly passwordTemplate: string;
  /** Domain of the addresses of record. */
  readonly domain: string;
  /** `host:port` of the registrar. */
  readonly proxy: string;
  readonly expiresSec: number;
}

/**
 * Fills the store of a run by its own writes: one device with a webhook, one account and one background subscription each. Returns the ids in
 * order. Rejects as the store does.
 */
export async function fillStore(
  dataDir: string,
  load: LoadAccounts,
  onProgress: (written: number) => void = () => {},
): Promise<readonly AccountId[]> {
  const store = await openStore({
    dataDir,
    masterKey: `file:${dataDir}/master.key`,
    env: {},
    log: openLog("bench"),
  });
  try {
    return await writeAccounts(store, load, onProgress);
  } finally {
    await store.close();
  }
}

async function writeAccounts(
  store: OpenStore,
  load: LoadAccounts,
  onProgress: (written: number) => void,
): Promise<readonly AccountId[]> {
  const nowMs = Date.now();
  const ids: AccountId[] = [];
  for (let from = 0; from < load.count; from += batchAccounts) {
    const writes: Promise<unknown>[] = [];
    for (let n = from; n < Math.min(from + batchAccounts, load.count); n++) {
      const deviceId = Bun.randomUUIDv7() as DeviceId;
      const accountId = Bun.randomUUIDv7() as AccountId;
      ids.push(accountId);
      writes.push(
        store.putDevice({
          deviceId,
          app: loadApp,
          name: undefined,
          push: { provider: "webhook", token: `load-${n}`, alertToken: undefined, environment: undefined },
          tokenState: "alive",
          alertTokenState: "alive",
          tokenSetAtMs: nowMs,
          createdAtMs: nowMs,
          lastSeenAtMs: nowMs,
        }),
        store.createAccount(
          accountId,
          {
            app: loadApp,
            username: expandTemplate(load.userTemplate, n),
            domain: load.domain,
            authUsername: undefined,
            displayName: undefined,
            proxy: load.proxy,
            alternateProxy: undefined,
            transport: "udp",
            expiresSec: load.expiresSec,
            registrationMode: "auto",
            natEmulation: false,
            instanceId: undefined,
            userAgent: undefined,
            forwardTo: undefined,
          },
          { kind: "password", password: expandTemplate(load.passwordTemplate, n) },
          {
            subscriptionId: Bun.randomUUIDv7() as SubscriptionId,
            accountId,
            deviceId,
            presence: "background",
            notify: { message: true, voicemail: true, missed: false, preview: false },
            createdAtMs: nowMs,
          },
        ),
      );
    }
    await Promise.all(writes);
    onProgress(ids.length);
  }
  return ids;
}
