import { createTestAuthority } from "../../fakes/certificates.ts";
import { domain, type Kamailio, type KamailioOptions, passwordOf, startKamailio } from "./kamailio.ts";
import { PushRelay } from "./pushes.ts";
import {
  type AccountInput,
  type EnrolledDevice,
  startWakeline,
  type Wakeline,
  type WakelineOptions,
} from "./wakeline.ts";

/** One Kamailio, one Wakeline, one push relay; each test takes accounts and devices of its own. */
export interface Lab {
  readonly kamailio: Kamailio;
  readonly wakeline: Wakeline;
  readonly relay: PushRelay;
  /** A username not used before. */
  newUser(): string;
  /** The account of a user at the lab's Kamailio. */
  account(username: string, more?: Readonly<Record<string, unknown>>): AccountInput;
  /** A device not enrolled before. */
  newDevice(): Promise<EnrolledDevice>;
  stop(): Promise<void>;
}

export interface LabOptions {
  readonly kamailio?: Omit<KamailioOptions, "tls">;
  readonly wakeline?: Omit<WakelineOptions, "pushUrl" | "tls" | "ca">;
  /** Both sides listen for TLS too, with certificates of one authority that both trust. */
  readonly isTls?: boolean;
}

export async function openLab(options: LabOptions = {}): Promise<Lab> {
  const authority = options.isTls === true ? createTestAuthority() : undefined;
  const names = ["127.0.0.1", domain, "localhost"];
  const kamailio = await startKamailio({
    ...options.kamailio,
    ...(authority === undefined ? {} : { tls: { ...authority.issue(names), ca: authority.ca } }),
  });
  const relay = new PushRelay();
  const wakeline = await startWakeline({
    ...options.wakeline,
    pushUrl: relay.url,
    ...(authority === undefined ? {} : { tls: authority.issue(names), ca: authority.ca }),
  }).catch(async (error: unknown) => {
    // Nobody has a lab to stop yet.
    await kamailio.stop();
    await relay.stop();
    throw error;
  });
  let users = 0;
  let devices = 0;
  return {
    kamailio,
    wakeline,
    relay,
    newUser: () => `u${String(++users).padStart(4, "0")}`,
    account: (username, more = {}) => ({
      username,
      domain,
      password: passwordOf(username),
      proxy: kamailio.proxy,
      transport: "udp",
      ...more,
    }),
    newDevice: () => wakeline.enrol(`lab-device-${++devices}`),
    async stop() {
      await wakeline.stop();
      await kamailio.stop();
      await relay.stop();
    },
  };
}
