import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TunnelId } from "../../src/base/ids.ts";
import type { Transport } from "../../src/net/network.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { SipText, sipText } from "../fakes/sip-text.ts";
import { openTestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";
import { answerTo } from "../attacks/attack-bench.ts";
import { accountOf, VirtualDirectory } from "../keeper/bench-shard.ts";
import { openLiveShard } from "./live-shard.ts";

const closing = closedAfterEach();
const authority = createTestAuthority();

/** A shard and its registrar, each with sockets of its own on one loopback address. */
async function scene(transport: Transport, address: string) {
  const certificate = authority.issue(["virtual.test"]);
  const registrar = await openTestNetwork({
    listen: [address],
    tcpPort: 0,
    ...(transport === "tls" ? { tlsPort: 0, tls: certificate } : {}),
  });
  const { network: far, recorder } = registrar;
  closing.push(() => far.close());
  const caFile = join(tmpdir(), `wakeline-ca-${crypto.randomUUID()}.pem`);
  writeFileSync(caFile, authority.ca);
  closing.push(() => rmSync(caFile));
  const frames: SipText[] = [];
  const port = { udp: far.udpPort, tcp: far.tcpPort, tls: far.tlsPort }[transport];
  const directory = new VirtualDirectory();
  const account = accountOf(1, { transport });
  directory.put(account);
  const { core, close } = await openLiveShard({
    address,
    servers: [{ transport, address, port, ...(transport === "tls" ? { serverName: "virtual.test" } : {}) }],
    directory,
    onEvent: (event) => {
      if (event.kind === "frame") frames.push(new SipText(event.text));
    },
    caFile,
  });
  closing.push(close);
  recorder.onEach = ({ text, source }) => {
    if (!text.startsWith("REGISTER")) return;
    const request = new SipText(text);
    far.reply(
      source,
      Buffer.from(answerTo(request, 200, [`Contact: ${request.get("Contact")};expires=600`]), "latin1"),
    );
  };
  core.start();
  const tunnelId = 1 as TunnelId;
  const { accountId } = account;
  core.command({ kind: "tunnelOpened", tunnelId, deviceId: "d1" as never, accounts: [accountId], voip: false });
  directory.subscriptions = () => [
    {
      subscriptionId: "s1" as never,
      accountId,
      deviceId: "d1" as never,
      presence: "background",
      notify: { message: false, voicemail: false, missed: false, preview: false },
      wakeable: true,
    },
  ];
  return { core, far, recorder, frames, tunnelId };
}

describe.each([
  ["udp", "127.0.0.1"],
  ["udp", "::1"],
  ["tcp", "127.0.0.1"],
  ["tcp", "::1"],
  ["tls", "127.0.0.1"],
  ["tls", "::1"],
] as const)("%s over %s, real sockets", (transport, address) => {
  test("registration, a call from the server, a request in the dialog each way", async () => {
    const { core, far, recorder, frames, tunnelId } = await scene(transport, address);
    const find = (holds: (message: SipText) => boolean): SipText | undefined =>
      recorder.messages.map(({ text }) => new SipText(text)).find(holds);
    await turnsUntil(() => recorder.messages.length > 0);
    const { text, source } = recorder.messages[0]!;
    const register = new SipText(text);
    const place = address.includes(":") ? `[${address}]` : address;
    expect(register.get("Via")).toStartWith(`SIP/2.0/${transport.toUpperCase()} ${place}:`);
    expect(register.contactUri).toStartWith(`sip:u1@${place}:`);
    expect(source.transport).toBe(transport);
    const send = (message: string): void => void far.reply(source, Buffer.from(message, "latin1"));
    const request = (method: string, cseq: number, more: readonly string[]): string =>
      sipText(`${method} ${register.contactUri} SIP/2.0`, [
        `Via: SIP/2.0/${transport.toUpperCase()} ${place}:5060;branch=z9hG4bK${method}${cseq};rport`,
        "Max-Forwards: 70",
        "From: <sip:bob@virtual.test>;tag=bob",
        "Call-ID: call@virtual.test",
        `CSeq: ${cseq} ${method}`,
        `Contact: <sip:bob@${place}:5060>`,
        ...more,
      ]);
    send(request("INVITE", 1, ["To: <sip:u1@virtual.test>"]));
    await turnsUntil(() => frames.length > 0);
    const invite = frames[0]!;
    expect(invite.method).toBe("INVITE");
    const answer = answerTo(invite, 200, ["Contact: <sip:u1@phone.invalid;transport=ws>"]);
    core.command({ kind: "frame", tunnelId, text: answer, last: true });
    await turnsUntil(() => find(({ status }) => status === 200) !== undefined);
    const answered = find(({ status }) => status === 200)!;
    expect(answered.contactUri).toBe(register.contactUri);
    const to = `To: ${answered.get("To")}`;
    send(request("ACK", 1, [to]));
    send(request("INFO", 2, [to]));
    await turnsUntil(() => frames.some(({ method, isResponse }) => method === "INFO" && !isResponse));
    const bye = sipText(`BYE sip:bob@${place}:5060 SIP/2.0`, [
      "Via: SIP/2.0/WSS phone.invalid;branch=z9hG4bKbye",
      "Max-Forwards: 70",
      `From: ${answered.get("To")}`,
      "To: <sip:bob@virtual.test>;tag=bob",
      "Call-ID: call@virtual.test",
      "CSeq: 1 BYE",
    ]);
    core.command({ kind: "frame", tunnelId, text: bye, last: true });
    await turnsUntil(() => find(({ method, isResponse }) => method === "BYE" && !isResponse) !== undefined);
    const sources = new Set(recorder.messages.map((message) => message.source.connection));
    // All on the one connection that the REGISTER opened.
    expect(sources.size).toBe(1);
  });
});
