import { type Answer, decode, encode, type Packet } from "dns-packet";

/** What a zone says to one question: records, or a failure by its code. `silent`: no answer at all. */
export type ZoneAnswer =
  | readonly ZoneRecord[]
  | { readonly rcode: "NXDOMAIN" | "SERVFAIL" | "REFUSED" | "NOTIMP" }
  | "silent";

type ZoneRecord =
  | { readonly type: "A" | "AAAA"; readonly address: string; readonly ttlSec?: number; readonly name?: string }
  | {
      readonly type: "SRV";
      readonly target: string;
      readonly port: number;
      readonly priority?: number;
      readonly weight?: number;
      readonly ttlSec?: number;
    }
  | {
      readonly type: "NAPTR";
      readonly order: number;
      readonly service: string;
      readonly replacement: string;
      readonly flags?: string;
    }
  | { readonly type: "CNAME"; readonly target: string };

const ttlSecDefault = 300;
const responseFlags = 0x0180;
const rcodes = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5, NOTIMP: 4 } as const;

/** A DNS server on a loopback port. Keys of the zone are "TYPE name"; what is absent does not exist. Counts what it is asked. */
export class DnsServer {
  readonly zone = new Map<string, ZoneAnswer>();
  readonly asked: string[] = [];
  readonly #socket: Bun.udp.Socket<"buffer">;

  private constructor(socket: Bun.udp.Socket<"buffer">) {
    this.#socket = socket;
  }

  static async open(): Promise<DnsServer> {
    let server: DnsServer | undefined;
    const socket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (_, bytes, port, address) => server?.answer(bytes, port, address) },
    });
    server = new DnsServer(socket);
    return server;
  }

  /** As `sip.resolver` takes it. */
  get place(): string {
    return `127.0.0.1:${this.#socket.port}`;
  }

  set(question: string, answer: ZoneAnswer): void {
    this.zone.set(question, answer);
  }

  answer(bytes: Buffer, port: number, address: string): void {
    const query = decode(bytes);
    const question = query.questions?.[0];
    if (question === undefined) return;
    const name = question.name.toLowerCase();
    const key = `${question.type} ${name}`;
    this.asked.push(key);
    const said = this.zone.get(key) ?? { rcode: "NXDOMAIN" as const };
    if (said === "silent") return;
    const response: Packet = {
      type: "response",
      questions: query.questions ?? [],
      ...(query.id === undefined ? {} : { id: query.id }),
    };
    const packet =
      "rcode" in said
        ? { ...response, flags: responseFlags | rcodes[said.rcode] }
        : { ...response, flags: responseFlags, answers: said.map((record) => answerOf(name, record)) };
    this.#socket.send(encode(packet), port, address);
  }

  close(): void {
    this.#socket.close();
  }
}

function answerOf(name: string, record: ZoneRecord): Answer {
  const ttl = "ttlSec" in record ? (record.ttlSec ?? ttlSecDefault) : ttlSecDefault;
  switch (record.type) {
    case "A":
    case "AAAA":
      return { type: record.type, name: record.name ?? name, ttl, data: record.address };
    case "SRV": {
      const { target, port, priority = 0, weight = 0 } = record;
      return { type: "SRV", name, ttl, data: { target, port, priority, weight } };
    }
    case "NAPTR": {
      const { order, service, replacement, flags = "s" } = record;
      return {
        type: "NAPTR",
        name,
        ttl,
        data: { order, preference: 0, flags, services: service, regexp: "", replacement },
      };
    }
    case "CNAME":
      return { type: "CNAME", name, ttl, data: record.target };
    default:
      return record satisfies never;
  }
}
