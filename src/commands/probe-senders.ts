import type { Config } from "../config/config.ts";
import { EgressPolicy } from "../net/egress.ts";
import { silentLog } from "../observe/log.ts";
import { openSenders, type SenderFault } from "../push/senders.ts";
import { makeVapidKeys } from "../push/vapid-keys.ts";
import { systemClock } from "../time/clock.ts";
import { urlPolicy } from "./url-policy.ts";

/** For `wakeline check`: opens every push sender and has it ask its provider something harmless. */
export async function probeSenders(config: Config): Promise<readonly SenderFault[]> {
  const senders = await openSenders(config.apps, {
    vapid: makeVapidKeys(),
    allowUrl: urlPolicy(new EgressPolicy({ allow: config.sip.egressAllow })),
    clock: systemClock,
    log: silentLog,
  });
  try {
    return await senders.probe();
  } finally {
    await senders.close();
  }
}
