/**
 * Claim: from the datagram of an INVITE to its wake event 50 µs at the median (design §1), the 100 Trying and the masked ladder
 * included; an INVITE for nobody costs under 15 µs and leaves nothing.
 */
import { scan } from "../../src/sip/message/scan.ts";
import { SipView } from "../../src/sip/message/view.ts";
import { AnchorBench } from "../../test/fakes/anchor-bench.ts";

const calls = Number(Bun.env.CALLS ?? 4_000);
const bench = new AnchorBench();
const server = bench.addServer();
const alice = bench.addAccount("alice", server, { mobile: {} });
const view = new SipView();
const { source } = server;

const invites = Array.from({ length: calls }, () => server.request("INVITE", alice).text);
const datagrams = invites.map((text) => Buffer.from(text, "latin1"));
const tookNs: number[] = [];
for (const [n, datagram] of datagrams.entries()) {
  const from = Bun.nanoseconds();
  scan(datagram, 0, datagram.length, view);
  bench.anchor.onRequest(view, source);
  tookNs.push(Bun.nanoseconds() - from);
  const cancel = invites[n]?.replace(/^INVITE/, "CANCEL").replace(/CSeq: (\d+) INVITE/, "CSeq: $1 CANCEL");
  if (cancel !== undefined) server.sends(cancel);
  server.inbox.length = 0;
  bench.events.length = 0;
  if (n % 100 === 0) bench.pass(10);
}
tookNs.sort((a, b) => a - b);
const at = (share: number): string => ((tookNs[Math.floor(calls * share)] ?? 0) / 1e3).toFixed(1);
console.log(`INVITE to wake event: p50 ${at(0.5)} us, p99 ${at(0.99)} us`);

const stray = Buffer.from(server.request("INVITE", alice, { uri: "sip:x@203.0.113.7:5060;line=none" }).text, "latin1");
const strays = 50_000;
const from = Bun.nanoseconds();
for (let n = 0; n < strays; n++) {
  scan(stray, 0, stray.length, view);
  bench.anchor.onRequest(view, source);
}
console.log(`INVITE for nobody: ${((Bun.nanoseconds() - from) / strays / 1e3).toFixed(1)} us`);
