import type { RegistrationIndex } from "../base/ids.ts";
import type { LocalAddress, Network, PeerId } from "../net/network.ts";
import { formatHostPort } from "../sip/host-port.ts";
import type { Ledger } from "./ledger.ts";
import { lineToken } from "./names.ts";
import type { PeerEntry } from "./peer-table.ts";
import { RegisterWriter } from "./register-writer.ts";

/** RFC 3261 §18.1.1: a larger request goes by TCP where the server takes it. */
const datagramBytesMax = 1300;
/** As many leave together at once; fewer wait for the tick. A burst much larger would overrun the registrar's socket. */
const burstMax = 32;
const udpVia = "\r\nVia: SIP/2.0/UDP";

/** Puts REGISTERs on the wire: written from their row, over the transport that fits them. */
export class Transmission {
  readonly #ledger: Ledger;
  readonly #network: Network;
  readonly #writer: RegisterWriter;
  #burst = 0;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#network = ledger.network;
    const { columns, volatile, arena, credentials, instances, removals } = ledger;
    this.#writer = new RegisterWriter({ columns, volatile, arena, credentials, instances, removals });
  }

  /** Sends what is queued. */
  flush(): void {
    this.#burst = 0;
    this.#network.flush();
  }

  /** HOT. False when nothing was sent. */
  send(row: RegistrationIndex, entry: PeerEntry, local: LocalAddress): boolean {
    const writer = this.#writer;
    const length = writer.write(row, this.#ledger.profile(row), entry.endpoint.transport, local);
    if (!entry.isStream) {
      if (length > datagramBytesMax) {
        const twin = this.#network.largeTransport?.(entry.peer);
        if (twin !== undefined && this.#network.localAddress(twin, false)?.port === local.port) {
          // Over TCP nothing is sent again; the timer of a datagram runs all the same and, once TCP was refused, sends by UDP.
          if (this.#ledger.volatile.retransmissions(row) > 0) return false;
          if (this.#sendLarge(twin, length)) return true;
        }
      }
      this.#network.queue(entry.peer, writer.bytes, 0, length);
      if (++this.#burst >= burstMax) this.flush();
      return true;
    }
    return this.#network.send(entry.peer, writer.bytes.subarray(0, length)) !== "failed";
  }

  /** The request in the writer, by TCP. Its Contact stays that of UDP: only this request is too large. */
  #sendLarge(twin: PeerId, length: number): boolean {
    const request = Buffer.from(this.#writer.bytes.subarray(0, length));
    const at = request.indexOf(udpVia, 0, "latin1");
    if (at < 0) return false;
    request.write("TCP", at + udpVia.length - 3, "latin1");
    return this.#network.send(twin, request) !== "failed";
  }

  /** Our Contact's place, and the one before it when that is another: one REGISTER carries the new and removes the old. */
  prepareBinding(row: RegistrationIndex, entry: PeerEntry, local: LocalAddress, nowMs: number): void {
    const { columns, removals } = this.#ledger;
    const present = columns.contactPort(row);
    const host = this.#ledger.peers.hostHash(local);
    if (present === local.port && columns.contactHost(row) === host) return;
    const hadBinding = present !== 0 && this.#ledger.mayBeBound(row, nowMs);
    // Of another host only the hash is known: a registrar that lists bindings will show it.
    if (hadBinding && columns.contactHost(row) === host) {
      removals.set(row, removalOf([this.#contactUri(row, entry, local.host, present)]));
    }
    columns.setContactPort(row, local.port);
    columns.setContactHost(row, host);
  }

  #contactUri(row: RegistrationIndex, entry: PeerEntry, host: string, port: number): string {
    const place = host.startsWith("[") ? `${host}:${port}` : formatHostPort(host, port);
    return `sip:${this.#ledger.user(row)}@${place};transport=${entry.endpoint.transport};line=${lineToken(this.#ledger.columns, row)}`;
  }
}

/** What removes these bindings in a REGISTER that also carries our own. */
export function removalOf(uris: readonly string[]): Uint8Array {
  return Buffer.from(uris.map((uri) => `, <${uri}>;expires=0`).join(""), "latin1");
}
