import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const triesMax = 50;
/** Below the range from which the system takes the ports of outgoing connections, so that none of those sits on ours. */
const firstPort = 12_000;
const lastPort = 30_000;

/**
 * First of `count` ports in a row that are free on 127.0.0.1 for UDP and TCP. They are free when asked, not held: whoever starts next on
 * them may still lose the race, which then fails loudly. Throws when 50 tries find none.
 */
export async function freePorts(count = 1): Promise<number> {
  for (let tries = 0; tries < triesMax; tries++) {
    const first = randomInt(firstPort, lastPort);
    const free = await Promise.all(Array.from({ length: count }, (_, n) => isFree(first + n)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${count} free ports in a row`);
}

async function isFree(port: number): Promise<boolean> {
  try {
    (await Bun.udpSocket({ hostname: "127.0.0.1", port })).close();
  } catch {
    return false;
  }
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
