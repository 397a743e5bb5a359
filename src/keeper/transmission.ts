import type { RegistrationIndex } from "../base/ids.ts";
import type { LocalAddress, Network } from "../net/network.ts";
import { formatHostPort } from "../sip/host-port.ts";
import type { Ledger } from "./ledger.ts";
import { datagramBytesMax, sendLarge } from "./large-request.ts";
import { lineToken } from "./names.ts";
import type { PeerEntry } from "./peer-table.ts";
import { RegisterWriter } from "./register-writer.ts";

/** As many leave together at once; fewer wait for the tick. A burst much larger would overrun the registrar's socket. */
const burstMax = 32;

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
        const isRepeat = this.#ledger.volatile.retransmissions(row) > 0;
        const outcome = sendLarge(this.#network, entry.peer, local, writer.bytes.subarray(0, length), isRepeat);
        if (outcome !== "byUdp") return outcome === "sent";
      }
      this.#network.queue(entry.peer, writer.bytes, 0, length);
      if (++this.#burst >= burstMax) this.flush();
      return true;
    }
    return this.#network.send(entry.peer, writer.bytes.subarray(0, length)) !== "failed";
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
