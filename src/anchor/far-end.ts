import { parseUriText, uriParam, type SipUri } from "../sip/uri.ts";
import type { SipTarget } from "../net/network.ts";
import type { Core } from "./core.ts";
import type { Dialog } from "./dialog.ts";
import type { Flow } from "./flow.ts";
import { farEndDownMs } from "./limits.ts";

/**
 * How requests in a dialog leave: straight to the far end where the dialog has taught that and it can be reached, else the dialog's
 * own flow (design rule 2).
 */
export function wayOf(core: Core, { direct, flow }: Dialog): Flow {
  if (direct === undefined || core.flows.hop(direct.peer).downAtMs > core.nowMs() - farEndDownMs) return flow;
  return direct;
}

/**
 * Learns where the far end is when its server does not stay in the call: no Record-Route, and a Contact on another host (RFC 3261
 * §12.2.1.1). Such a server knows nothing of the dialog, so an ACK or BYE that goes its way is lost, and the far end's own
 * requests come from where its Contact says. Called when the dialog begins and when its target moves.
 *
 * A host that the egress policy refuses, as the private address of a server behind NAT, leaves the dialog on its flow; so does
 * anything but TLS for an account on TLS.
 */
export function learnFarEnd(core: Core, dialog: Dialog): void {
  dialog.direct = undefined;
  const target = dialog.routes.length > 0 ? undefined : targetOf(parseUriText(dialog.remoteTarget));
  if (target === undefined) return;
  const row = core.rowOf(dialog.accountId);
  const isSecure = row === undefined || core.options.book.isSecure(row);
  if (isSecure && target.transport !== "tls") return;
  const { network, locator } = core.options;
  const { address } = network.endpoint(dialog.flow.peer);
  if (target.host === address) return;
  const learnedFrom = dialog.remoteTarget;
  locator.locate(target, (result) => {
    // The look-up may take a moment, in which the target may move.
    if (!result.ok || dialog.over || dialog.remoteTarget !== learnedFrom) return;
    const [endpoint] = result.endpoints;
    if (endpoint === undefined || result.endpoints.some((found) => found.address === address)) return;
    if (isSecure && endpoint.transport !== "tls") return;
    dialog.direct = core.flows.toPeer(network.peer(endpoint));
  });
}

/** What RFC 3263 is asked for a Contact; undefined for one that we cannot reach. */
function targetOf(uri: SipUri | undefined): SipTarget | undefined {
  if (uri === undefined || (uri.scheme !== "sip" && uri.scheme !== "sips")) return undefined;
  const { host, port } = uri;
  const named = uriParam(uri, "transport")?.toLowerCase();
  if (uri.scheme === "sips") return named === "ws" || named === "wss" ? undefined : { host, port, transport: "tls" };
  if (named === undefined || named === "") return { host, port, transport: "auto" };
  return named === "udp" || named === "tcp" || named === "tls" ? { host, port, transport: named } : undefined;
}
