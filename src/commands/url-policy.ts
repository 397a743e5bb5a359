import { lookup } from "node:dns/promises";
import type { EgressPolicy } from "../net/egress.ts";
import type { UrlPolicy } from "../push/webpush.ts";

/** Web Push endpoints are named by devices: the address they resolve to is judged, and used. */
export function urlPolicy(policy: EgressPolicy): UrlPolicy {
  return async (url) => {
    const port = Number(url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    try {
      const { address } = await lookup(host);
      const verdict = policy.verdict(address, port);
      return verdict.allowed ? { ok: true, address } : { ok: false, reason: verdict.text };
    } catch {
      return { ok: false, reason: `${host} has no address` };
    }
  };
}
