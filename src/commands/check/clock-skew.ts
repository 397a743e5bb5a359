import { readFileSync } from "node:fs";
import type { Config } from "../../config/config.ts";
import { note, problem, type Finding } from "./finding.ts";

/** Google refuses assertions, and Apple tokens, of clocks that are minutes wrong; a Date header is exact to a second. */
const skewMsMax = 60_000;
const askMs = 5_000;

/** The time that a server says it is, in ms since 1970; undefined when it says none or cannot be reached. */
export type AskTime = (url: string, ca: string | undefined) => Promise<number | undefined>;

export const askTime: AskTime = async (url, ca) => {
  try {
    const response = await fetch(url, {
      method: "HEAD",
      redirect: "manual",
      signal: AbortSignal.timeout(askMs),
      ...(ca === undefined ? {} : { tls: { ca } }),
    });
    const atMs = Date.parse(response.headers.get("date") ?? "");
    return Number.isNaN(atMs) ? undefined : atMs;
  } catch {
    return undefined; // that it cannot be reached is the probes' to say
  }
};

/** Holds this machine's clock against the servers that it has to do with anyway: FCM, webhooks, issuers of enrolment tokens. */
export async function checkClockSkew(config: Config, nowMs: () => number, ask: AskTime): Promise<readonly Finding[]> {
  const places = new Map<string, string | undefined>();
  for (const { fcm, webhook, jwksUrl } of config.apps) {
    if (fcm !== undefined) places.set(new URL(fcm.endpoint ?? "https://fcm.googleapis.com").origin, textOf(fcm.caFile));
    if (webhook !== undefined) places.set(new URL(webhook.url).origin, undefined);
    if (jwksUrl !== undefined) places.set(new URL(jwksUrl).origin, undefined);
  }
  const skews = await Promise.all(
    [...places].map(async ([origin, ca]) => {
      const thereMs = await ask(origin, ca);
      return thereMs === undefined ? [] : [{ origin, thereMs, skewMs: nowMs() - thereMs }];
    }),
  );
  const wrong = skews.flat().filter(({ skewMs }) => Math.abs(skewMs) > skewMsMax);
  const [first] = wrong;
  if (first === undefined) return [];
  const words = `clock: it is ${Math.round(Math.abs(first.skewMs) / 1_000)} s ${first.skewMs > 0 ? "later" : "earlier"} here than at ${first.origin}`;
  // One server alone may be the one that is wrong.
  return wrong.length === skews.flat().length
    ? [problem(`${words}: set the clock (NTP), or push credentials and certificates will be refused`)]
    : [note(`${words}, but not than elsewhere: that server's clock is wrong`)];
}

function textOf(file: string | undefined): string | undefined {
  try {
    return file === undefined ? undefined : readFileSync(file, "utf8");
  } catch {
    return undefined; // told of with the certificates
  }
}
