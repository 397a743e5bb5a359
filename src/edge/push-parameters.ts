import type { PushTarget } from "../store/types.ts";

const tokenPattern = /^[\x21-\x7e]{1,4096}$/;

/**
 * The device's push target with the tokens of a REGISTER's `pn-` parameters (RFC 8599 §4.1). For APNs, `pn-prid` may hold two
 * tokens as Linphone writes them, `TOK:voip&TOK:remote`. Undefined when they name another provider than the device's, or no
 * token: a Web Push endpoint alone lacks the keys.
 */
export function pushOfParameters(
  before: PushTarget,
  parameters: { readonly provider: string; readonly prid: string },
): PushTarget | undefined {
  if (parameters.provider.toLowerCase() !== before.provider || before.provider === "webpush") return undefined;
  // Its escapes are resolved by who read the URI: a token may hold a percent sign of its own.
  const { prid } = parameters;
  if (!tokenPattern.test(prid)) return undefined;
  if (before.provider !== "apns") return { ...before, token: prid };
  let { token, alertToken } = before;
  for (const part of prid.split("&")) {
    const [value = "", use] = part.split(":", 2);
    if (!/^[A-Za-z0-9_-]+$/.test(value)) return undefined;
    if (use === "remote") alertToken = value;
    else token = value;
  }
  return { ...before, token, alertToken };
}
