import type { Delivery } from "./types.ts";

/** TLS codes of Bun and node:tls that mean "this server is not who it should be". */
const trustCode =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)/;
const causesMax = 6;

/** Every error of a chain of causes, `verror`'s `jse_cause` included. */
function* chain(fault: unknown): Generator<Readonly<Record<string, unknown>>> {
  let next: unknown = fault;
  for (let depth = 0; depth < causesMax && typeof next === "object" && next !== null; depth++) {
    const link = next as Readonly<Record<string, unknown>>;
    yield link;
    next = link.cause ?? link.jse_cause;
  }
}

/** The innermost error code of a failed request, "timeout", or "connectionLost" when nothing says more. */
export function failureReason(fault: unknown): string {
  let reason = "connectionLost";
  for (const link of chain(fault)) {
    if (link.name === "TimeoutError" || link.code === "ETIMEDOUT") return "timeout";
    if (typeof link.code === "string" && !link.code.startsWith("ERR_HTTP2_")) reason = link.code;
  }
  return reason;
}

/** True when a certificate's chain, date or name did not hold. */
export function isTrustFailure(fault: unknown): boolean {
  for (const link of chain(fault)) if (typeof link.code === "string" && trustCode.test(link.code)) return true;
  return false;
}

/**
 * What a request without an answer means. A certificate that does not hold is ours to repair (`ca_file`, or somebody in
 * between) and no token is sent again into it; anything else may go better at the next try.
 */
export function failedDelivery(fault: unknown): Delivery {
  const reason = failureReason(fault);
  if (isTrustFailure(fault)) return { kind: "refused", reason: `certificate: ${reason}`, ours: true };
  return { kind: "retry", afterMs: 0, reason };
}
