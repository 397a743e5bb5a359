import type { DeviceTokens } from "./device-tokens.ts";
import { json } from "./views.ts";

/** What `/.well-known/wakeline.json` tells apps and the operators of registrars. */
export interface ServerFacts {
  readonly version: string;
  readonly publicUrl: string;
  readonly tunnelUrl: string;
  /** Where our SIP requests come from, for a registrar's firewall; empty when the operator has not said. */
  readonly egressAddresses: readonly string[];
  /** What browsers subscribe to Web Push with (RFC 8292); undefined when no app uses it. */
  readonly vapidPublicKey: string | undefined;
}

/** Interface version: rises when something that was there changes. */
const interfaceVersion = 1;

/** The public documents; undefined for any other path. */
export function wellKnown(path: string, tokens: DeviceTokens, facts: ServerFacts): Response | undefined {
  switch (path) {
    case "/.well-known/jwks.json":
      return json(tokens.jwks());
    case "/.well-known/wakeline.json":
      return json({
        name: "wakeline",
        version: facts.version,
        interface: interfaceVersion,
        api: facts.publicUrl,
        tunnel: facts.tunnelUrl,
        docs: `${facts.publicUrl}/docs`,
        egressAddresses: facts.egressAddresses,
        vapidPublicKey: facts.vapidPublicKey,
      });
    default:
      return undefined;
  }
}
