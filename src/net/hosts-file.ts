import { readFileSync, statSync } from "node:fs";
import type { Clock } from "../time/clock.ts";
import { canonicalAddress } from "./address.ts";

const path = "/etc/hosts";
const lookAgainMs = 5_000;
const loopback = ["127.0.0.1", "::1"];

/** Names that no resolver is asked for: `localhost` (RFC 6761 §6.3) and those of the system's hosts file. */
export class HostsFile {
  readonly #clock: Clock;
  readonly #path: string;
  #names: ReadonlyMap<string, readonly string[]> = new Map();
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #changedAtMs = -1;

  constructor(clock: Clock, file = path) {
    this.#clock = clock;
    this.#path = file;
  }

  /** Canonical addresses; undefined when the name is not known here. */
  find(name: string): readonly string[] | undefined {
    this.#refresh();
    const lower = (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
    const known = this.#names.get(lower);
    if (known !== undefined) return known;
    return lower === "localhost" || lower.endsWith(".localhost") ? loopback : undefined;
  }

  #refresh(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#lookedAtMs < lookAgainMs) return;
    this.#lookedAtMs = nowMs;
    try {
      const changedAtMs = statSync(this.#path).mtimeMs;
      if (changedAtMs === this.#changedAtMs) return;
      this.#names = parseHosts(readFileSync(this.#path, "utf8"));
      this.#changedAtMs = changedAtMs;
    } catch {
      // No such file: nothing is known here, which is no fault.
      this.#names = new Map();
      this.#changedAtMs = -1;
    }
  }
}

/** Lines of an address and names, `#` beginning a comment (hosts(5)). */
export function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [place = "", ...aliases] = (line.split("#", 1)[0] ?? "").trim().split(/\s+/);
    const address = canonicalAddress(place);
    if (address === undefined) continue;
    for (const alias of aliases) {
      const known = names.get(alias.toLowerCase());
      if (known === undefined) names.set(alias.toLowerCase(), [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return names;
}
