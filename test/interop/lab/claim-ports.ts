import { freePorts } from "../../../src/commands/free-ports.ts";

const triesMax = 50;
/** Nothing of the lab listens here, so a claim is in nobody's way. */
const claimAddress = "127.0.0.2";

/**
 * First of `count` free ports in a row on 127.0.0.1 that nobody else who claims gets, in this process or another: they stay claimed for as
 * long as the process lives, by whoever listens on them and when.
 */
export async function claimPorts(count = 1): Promise<number> {
  for (let tries = 0; tries < triesMax; tries++) {
    const first = await freePorts(count);
    if (claimAll(Array.from({ length: count }, (_, n) => first + n))) return first;
  }
  throw new Error(`no ${count} ports in a row to claim`);
}

/** All of them or none. */
function claimAll(ports: readonly number[]): boolean {
  const claims: Bun.TCPSocketListener[] = [];
  try {
    for (const port of ports) claims.push(Bun.listen({ hostname: claimAddress, port, socket: { data() {} } }));
  } catch {
    for (const claim of claims) claim.stop(true);
    return false;
  }
  for (const claim of claims) claim.unref();
  return true;
}
