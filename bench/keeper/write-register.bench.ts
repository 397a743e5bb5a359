/**
 * Claim: a REGISTER is written in at most 400 ns without credentials and 1,000 ns with an MD5 answer, from a warm row. Rows in no
 * order cost the cache misses on top.
 */
import { bench, run, summary } from "mitata";
import type { RegistrationIndex } from "../../src/base/ids.ts";
import { Arena } from "../../src/keeper/arena.ts";
import { Columns, columnsBytes } from "../../src/keeper/columns.ts";
import { Credentials } from "../../src/keeper/credentials.ts";
import { Profile } from "../../src/keeper/profile.ts";
import { RandomPool } from "../../src/keeper/random-pool.ts";
import { Realms } from "../../src/keeper/realms.ts";
import { RegisterWriter } from "../../src/keeper/register-writer.ts";
import type { Registrar } from "../../src/keeper/registrar.ts";
import { Secrets } from "../../src/keeper/secrets.ts";
import { ChainFlag, Purpose, VolatileRows } from "../../src/keeper/volatile-rows.ts";
import { scan } from "../../src/sip/message/scan.ts";
import { SipView } from "../../src/sip/message/view.ts";
import { systemRandom } from "../../src/time/random.ts";

const rows = 200_000;
const columns = new Columns(new Uint8Array(columnsBytes(rows)));
const volatile = new VolatileRows(rows);
const arena = new Arena(2);
const realms = new Realms();
const pool = new RandomPool(systemRandom);
const directory = {
  account: () => ({ username: "u000001", authUsername: undefined }),
  proof: () => ({ username: "alice", secret: { kind: "password", password: "secret" } }),
} as unknown as ConstructorParameters<typeof Secrets>[1];
const secrets = new Secrets(columns, directory);
const credentials = new Credentials({ columns, volatile, arena, realms, secrets, pool });
const writer = new RegisterWriter({ columns, volatile, arena, credentials, instances: new Map(), removals: new Map() });
const target = { host: "pbx.example.net", port: undefined, transport: "udp" } as const;
const profile = new Profile(
  1,
  {
    domain: "pbx.example.net",
    target,
    secure: false,
    expiresSec: 3600,
    userAgent: "Wakeline",
    natEmulation: false,
    redirectedUri: undefined,
  },
  {} as Registrar,
  undefined,
);
const local = { host: "192.0.2.7", port: 5060 };
const view = new SipView();
const challenge = Buffer.from(
  'SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: Digest realm="pbx.example.net", nonce="Z0NDsGdDQoQ5mU1abcdefgh7x6dCWQ1Nvb", qop="auth"\r\nContent-Length: 0\r\n\r\n',
);
scan(challenge, 0, challenge.length, view);
for (let n = 0; n < rows; n++) {
  const id = `0193a000-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;
  const row = columns.allocate(id as Parameters<Columns["allocate"]>[0], 0, 0)!;
  volatile.setEntry(row, arena.add([Buffer.from(`u${n.toString().padStart(6, "0")}`), new Uint8Array(0)]));
  columns.setCSeq(row, 217_000_000 + n);
  columns.setContactPort(row, 5060);
  volatile.beginTransaction(row, Purpose.bind);
  volatile.setAskedSec(row, 3600);
  credentials.challenged(row, view);
}
const first = 0 as RegistrationIndex;
const second = 1 as RegistrationIndex;
volatile.setChain(second, ChainFlag.credentials, true);
for (let n = 2; n < rows; n++) volatile.setChain(n as RegistrationIndex, ChainFlag.credentials, true);

summary(() => {
  bench("without credentials", () => writer.write(first, profile, "udp", local));
  bench("with an MD5 answer", () => writer.write(second, profile, "udp", local));
  let at = 2;
  bench("with an MD5 answer, any of 200,000 rows", () => {
    at = (at + 7919) % rows;
    return writer.write((at + 2) as RegistrationIndex, profile, "udp", local);
  });
  bench("seal a row", () => columns.seal(first));
});
await run();
