import type { DnsAnswer, DnsClient, DnsRecord, DnsType } from "../../src/net/dns.ts";

export const srv = (target: string, port: number, priority = 0, weight = 0): DnsRecord => ({
  type: "SRV",
  target,
  port,
  priority,
  weight,
});
export const naptr = (order: number, service: string, replacement: string, preference = 0): DnsRecord => ({
  type: "NAPTR",
  order,
  preference,
  flags: "s",
  service,
  replacement,
});
export const a = (address: string): DnsRecord => ({ type: "A", address });
export const aaaa = (address: string): DnsRecord => ({ type: "AAAA", address });

interface Asked {
  readonly question: string;
  readonly timeoutMs: number;
  readonly done: (answer: DnsAnswer) => void;
}

/** Answers from a table, at once or (`held`) when told to. Keys are "TYPE name"; what is absent does not exist. */
export class ScriptedDns implements DnsClient {
  readonly zone = new Map<string, DnsAnswer>();
  readonly asked: Asked[] = [];
  held = false;
  #waiting: Asked[] = [];

  get questions(): readonly string[] {
    return this.asked.map(({ question }) => question);
  }

  set(question: string, records: readonly DnsRecord[], ttlSec: number | "unknown" = 300): void {
    this.zone.set(question, { kind: "records", records, ttlSec: ttlSec === "unknown" ? undefined : ttlSec });
  }

  fail(question: string, answered = false): void {
    this.zone.set(question, { kind: "failed", answered, text: `${question}: failed` });
  }

  query(type: DnsType, name: string, timeoutMs: number, done: (answer: DnsAnswer) => void): void {
    const one = { question: `${type} ${name}`, timeoutMs, done };
    this.asked.push(one);
    if (this.held) this.#waiting.push(one);
    else this.#answer(one);
  }

  /** Answers what is held. */
  release(): void {
    for (const one of this.#waiting.splice(0)) this.#answer(one);
  }

  #answer({ question, done }: Asked): void {
    done(this.zone.get(question) ?? { kind: "none" });
  }
}
