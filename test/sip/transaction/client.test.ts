import { describe, expect, test } from "bun:test";
import { Method } from "../../../src/sip/message/method.ts";
import { defaultTransactionLimits } from "../../../src/sip/transaction/transaction-user.ts";
import { Layer, RecordingHop } from "./layer.ts";
import { bytesOf, responseTo, viewOf } from "./messages.ts";

function cancelOf(invite: string): Uint8Array {
  return bytesOf(invite.replace(/^INVITE/, "CANCEL").replace("11 INVITE", "11 CANCEL"));
}

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

describe("INVITE sent, RFC 3261 §17.1.1", () => {
  test("over UDP: seven sendings in 32 s, then a time-out", () => {
    const layer = new Layer();
    layer.send("INVITE");
    layer.pass(31_990);
    expect(layer.sentAt(layer.udp)).toEqual([0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    expect(new Set(layer.udp.sent).size).toBe(1);
    expect(layer.heard()).toEqual([]);
    layer.pass(10);
    expect(layer.heard()).toEqual(["failure timeout"]);
    expect(layer.transactions.size).toBe(0);
    expect(layer.transactions.nextDueMs()).toBe(Infinity);
  });

  test("over TCP: one sending, the same time-out", () => {
    const layer = new Layer();
    layer.send("INVITE", layer.tcp);
    layer.pass(31_990);
    expect(layer.tcp.sent).toHaveLength(1);
    layer.pass(10);
    expect(layer.heard()).toEqual(["failure timeout"]);
  });

  test("a 1xx ends retransmission and time-out; every 1xx goes up", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE");
    expect(tx.isProceeding).toBe(false);
    layer.receive(responseTo(text, 100));
    expect(tx.isProceeding).toBe(true);
    layer.receive(responseTo(text, 180));
    layer.receive(responseTo(text, 180));
    layer.pass(120_000);
    expect(layer.udp.sent).toHaveLength(1);
    expect(layer.heard()).toEqual(["response 100", "response 180", "response 180"]);
    expect(tx.isOver).toBe(false);
  });

  test("a refusal is acknowledged each time it comes, told once, and forgotten after 32 s", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE");
    layer.receive(responseTo(text, 486, "their-tag"));
    layer.receive(responseTo(text, 486, "their-tag"));
    expect(layer.heard()).toEqual(["response 486"]);
    expect(layer.udp.sent[1]!.split("\r\n").toSorted(byText)).toEqual(
      [
        "ACK sip:alice@198.51.100.7 SIP/2.0",
        `Via: SIP/2.0/UDP 192.0.2.1:5070;branch=${tx.branch}`,
        "Max-Forwards: 70",
        "From: <sip:bob@example.net>;tag=us",
        "Call-ID: call-2",
        "To: <sip:alice@example.net>;tag=their-tag",
        "CSeq: 11 ACK",
        "Content-Length: 0",
        "",
        "",
      ].toSorted(byText),
    );
    expect(layer.udp.sent[2]).toBe(layer.udp.sent[1]);
    layer.pass(31_990);
    layer.receive(responseTo(text, 486, "their-tag"));
    expect(layer.udp.sent).toHaveLength(4);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
    layer.receive(responseTo(text, 486, "their-tag"));
    expect(layer.udp.sent).toHaveLength(4);
    expect(layer.transactions.counters.responsesUnmatched).toBe(1);
  });

  test("over TCP a refusal is forgotten with the next tick (timer D is zero)", () => {
    const layer = new Layer();
    const { text } = layer.send("INVITE", layer.tcp);
    layer.receive(responseTo(text, 486));
    expect(layer.tcp.take()).toEqual(["INVITE", "ACK"]);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
  });

  test("each 2xx of 32 s goes up and none is acknowledged here, RFC 6026 §7.2", () => {
    const layer = new Layer();
    const { text } = layer.send("INVITE");
    layer.receive(responseTo(text, 200, "first"));
    layer.pass(500);
    layer.receive(responseTo(text, 200, "first"));
    layer.receive(responseTo(text, 200, "another fork"));
    layer.receive(responseTo(text, 487, "a third"));
    expect(layer.heard()).toEqual(["response 200", "response 200", "response 200"]);
    expect(layer.udp.take()).toEqual(["INVITE"]);
    layer.pass(31_490);
    expect(layer.transactions.size).toBe(1);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
    layer.receive(responseTo(text, 200, "first"));
    expect(layer.heard()).toEqual([]);
  });
});

describe("non-INVITE sent, RFC 3261 §17.1.2", () => {
  test("over UDP: intervals of 0.5, 1, 2, 4, 4 s up to 32 s, then a time-out", () => {
    const layer = new Layer();
    layer.send("MESSAGE");
    layer.pass(32_000);
    expect(layer.sentAt(layer.udp)).toEqual([0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    expect(layer.heard()).toEqual(["failure timeout"]);
    expect(layer.transactions.size).toBe(0);
  });

  test("a 1xx slows it to 4 s and does not stop it", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("BYE");
    expect([tx.isProceeding, tx.isOver]).toEqual([false, false]);
    layer.receive(responseTo(text, 100));
    expect([tx.isProceeding, tx.isOver]).toEqual([true, false]);
    layer.pass(32_000);
    expect([tx.isProceeding, tx.isOver]).toEqual([false, true]);
    expect(layer.sentAt(layer.udp)).toEqual([0, 500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]);
    expect(layer.heard()).toEqual(["response 100", "failure timeout"]);
  });

  test("a final response goes up once and is absorbed for 5 s; over TCP not at all", () => {
    const layer = new Layer();
    const { text } = layer.send("BYE");
    layer.receive(responseTo(text, 200));
    layer.pass(4990);
    layer.receive(responseTo(text, 200));
    expect(layer.heard()).toEqual(["response 200"]);
    expect(layer.transactions.size).toBe(1);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
    const over = layer.send("BYE", layer.tcp);
    layer.receive(responseTo(over.text, 200));
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
  });

  test("a method that has no number is matched by its name", () => {
    const layer = new Layer();
    const { text } = layer.send("FROBNICATE");
    layer.receive(responseTo(text, 501));
    expect(layer.heard()).toEqual(["response 501"]);
  });
});

describe("matching of responses, RFC 3261 §17.1.3", () => {
  test("by branch and by the method in CSeq", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE");
    const response = responseTo(text, 200);
    expect(layer.transactions.receiveResponse(viewOf(response.replace("11 INVITE", "11 BYE")))).toBeUndefined();
    expect(layer.transactions.receiveResponse(viewOf(response.replace(tx.branch, `${tx.branch}x`)))).toBeUndefined();
    expect(layer.heard()).toEqual([]);
    expect(layer.transactions.receiveResponse(viewOf(response))).toBe(tx);
    expect(layer.heard()).toEqual(["response 200"]);
  });

  test("the same branch and method twice is a bug of the caller", () => {
    const layer = new Layer();
    layer.send("INVITE", layer.udp, "z9hG4bK-x");
    layer.send("BYE", layer.udp, "z9hG4bK-x");
    expect(() => layer.send("INVITE", layer.udp, "z9hG4bK-x")).toThrow("branch");
  });

  test("branches of our own are told from the keeper's, and differ", () => {
    const layer = new Layer();
    const branches = Array.from({ length: 100 }, () => layer.transactions.newBranch());
    for (const branch of branches) expect(branch).toMatch(/^z9hG4bKa[a-z2-7]{20}$/);
    expect(new Set(branches).size).toBe(100);
  });
});

describe("CANCEL sent, RFC 3261 §9.1", () => {
  test("waits for a 1xx", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE", layer.tcp);
    const first = cancelOf(text);
    layer.transactions.cancel(tx, first);
    layer.transactions.cancel(tx, bytesOf("a second one does nothing"));
    layer.pass(1000);
    expect(layer.tcp.take()).toEqual(["INVITE"]);
    layer.receive(responseTo(text, 100));
    layer.receive(responseTo(text, 180));
    expect(layer.tcp.sent.map(bytesOf)).toEqual([first]);
  });

  test("goes at once when a 1xx has come, also from within the news of it", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE");
    layer.onHeard = (item) => {
      if (item === "response 180") layer.transactions.cancel(tx, cancelOf(text));
    };
    layer.receive(responseTo(text, 180));
    expect(layer.udp.take()).toEqual(["INVITE", "CANCEL"]);
  });

  test("is repeated like any request, its answer goes to nobody, and the INVITE's 487 ends both", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE");
    layer.receive(responseTo(text, 180));
    layer.transactions.cancel(tx, cancelOf(text));
    layer.pass(500);
    expect(layer.udp.take()).toEqual(["INVITE", "CANCEL", "CANCEL"]);
    layer.receive(responseTo(Buffer.from(cancelOf(text)).toString("latin1"), 200));
    layer.receive(responseTo(text, 487));
    expect(layer.udp.take()).toEqual(["ACK"]);
    expect(layer.heard()).toEqual(["response 180", "response 487"]);
    layer.pass(32_000);
    expect(layer.transactions.size).toBe(0);
  });

  test("is not sent after a final response, nor for another method", () => {
    const layer = new Layer();
    const invite = layer.send("INVITE");
    layer.receive(responseTo(invite.text, 200));
    layer.transactions.cancel(invite.tx, cancelOf(invite.text));
    const other = layer.send("INVITE");
    layer.transactions.cancel(other.tx, cancelOf(other.text));
    layer.receive(responseTo(other.text, 486));
    const bye = layer.send("BYE");
    layer.receive(responseTo(bye.text, 100));
    layer.transactions.cancel(bye.tx, cancelOf(bye.text));
    expect(layer.udp.take()).toEqual(["INVITE", "INVITE", "ACK", "BYE"]);
  });

  test("an INVITE that it does not end within 64*T1 is taken as cancelled", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE", layer.tcp);
    layer.receive(responseTo(text, 180));
    layer.pass(60_000);
    layer.transactions.cancel(tx, cancelOf(text));
    layer.receive(responseTo(Buffer.from(cancelOf(text)).toString("latin1"), 481));
    layer.pass(31_990);
    expect(layer.heard()).toEqual(["response 180"]);
    layer.pass(10);
    expect(layer.heard()).toEqual(["failure timeout"]);
    expect(layer.transactions.size).toBe(0);
  });

  test("a 2xx that crosses it still goes up", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE");
    layer.receive(responseTo(text, 180));
    layer.transactions.cancel(tx, cancelOf(text));
    layer.receive(responseTo(text, 200));
    expect(layer.heard()).toEqual(["response 180", "response 200"]);
    layer.pass(32_010);
    expect(layer.heard()).toEqual([]);
    expect(layer.transactions.size).toBe(0);
  });
});

describe("hops that fail, RFC 3261 §17.1.4, and new ones", () => {
  test("the next tick tells of each pending transaction of the hop, and of no other", () => {
    const layer = new Layer();
    layer.send("INVITE", layer.tcp);
    const bye = layer.send("BYE", layer.tcp);
    const over = layer.send("INFO", layer.tcp);
    layer.receive(responseTo(over.text, 200));
    layer.send("OPTIONS");
    layer.heard();
    layer.transactions.hopFailed(layer.tcp);
    expect(layer.heard()).toEqual([]);
    expect(layer.transactions.nextDueMs()).toBe(layer.clock.nowMs());
    layer.transactions.tick(layer.clock.nowMs());
    expect(layer.heard()).toEqual(["failure transport", "failure transport"]);
    expect(layer.transactions.nextDueMs()).toBeGreaterThan(layer.clock.nowMs());
    expect(bye.tx.isOver).toBe(true);
    layer.pass(10);
    expect(layer.transactions.size).toBe(1);
  });

  test("a hop that fails while it is given the request tells of it later, not from within", () => {
    const layer = new Layer();
    const dead = {
      reliable: true,
      send: (): void => layer.transactions.hopFailed(dead),
    };
    const { tx } = layer.send("INVITE", dead);
    expect(layer.heard()).toEqual([]);
    layer.pass(10);
    expect(layer.heard()).toEqual(["failure transport"]);
    expect(tx.isOver).toBe(true);
  });

  test("rebound before the tick: sent again, same bytes, no failure", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE", layer.tcp);
    layer.receive(responseTo(text, 180));
    layer.transactions.hopFailed(layer.tcp);
    const next = new RecordingHop(layer.clock, true);
    layer.transactions.rebind(tx, next);
    layer.pass(60_000);
    expect(next.sent).toEqual([text]);
    expect(layer.heard()).toEqual(["response 180"]);
    layer.receive(responseTo(text, 486));
    expect(next.take()).toEqual(["INVITE", "ACK"]);
  });

  test("the failure of a hop that was left, or whose transactions have ended, concerns nobody", () => {
    const layer = new Layer();
    const moved = layer.send("INVITE", layer.tcp);
    const ended = layer.send("BYE", layer.tcp);
    layer.transactions.rebind(moved.tx, layer.udp);
    layer.receive(responseTo(ended.text, 200));
    layer.pass(10);
    layer.transactions.hopFailed(layer.tcp);
    expect(layer.transactions.nextDueMs()).toBeGreaterThan(layer.clock.nowMs());
    layer.pass(10);
    layer.transactions.hopFailed(layer.udp);
    layer.pass(10);
    expect(layer.heard()).toEqual(["response 200", "failure transport"]);
  });

  test("rebound without an answer so far: a new 64*T1, retransmission as the new hop demands", () => {
    const layer = new Layer();
    const { tx } = layer.send("INVITE", layer.tcp);
    layer.pass(30_000);
    layer.transactions.rebind(tx, layer.udp);
    layer.pass(31_990);
    expect(layer.udp.sent).toHaveLength(7);
    expect(layer.heard()).toEqual([]);
    layer.pass(10);
    expect(layer.heard()).toEqual(["failure timeout"]);
  });

  test("an INVITE that is being cancelled takes its CANCEL along", () => {
    const layer = new Layer();
    const { tx, text } = layer.send("INVITE", layer.tcp);
    layer.receive(responseTo(text, 180));
    layer.transactions.cancel(tx, cancelOf(text));
    const second = new RecordingHop(layer.clock, true);
    layer.transactions.rebind(tx, second);
    expect(second.take()).toEqual(["INVITE", "CANCEL"]);
    layer.receive(responseTo(Buffer.from(cancelOf(text)).toString("latin1"), 200));
    // Answered there, but the INVITE is still open when the next tunnel comes.
    const third = new RecordingHop(layer.clock, true);
    layer.transactions.rebind(tx, third);
    expect(third.take()).toEqual(["INVITE", "CANCEL"]);
    layer.receive(responseTo(text, 487));
    expect(layer.heard()).toEqual(["response 180", "response 487"]);
    layer.pass(32_000);
    expect(layer.transactions.size).toBe(0);
  });

  test("nothing is sent again once a final response has come", () => {
    const layer = new Layer();
    const invite = layer.send("INVITE", layer.udp);
    layer.receive(responseTo(invite.text, 200));
    const bye = layer.send("BYE", layer.udp);
    layer.receive(responseTo(bye.text, 200));
    for (const { tx } of [invite, bye]) layer.transactions.rebind(tx, layer.tcp);
    expect(layer.tcp.sent).toEqual([]);
    layer.pass(40_000);
    layer.transactions.rebind(invite.tx, layer.udp);
    layer.transactions.rebind(bye.tx, layer.udp);
    expect(layer.udp.take()).toEqual(["INVITE", "BYE"]);
    expect(layer.transactions.size).toBe(0);
  });
});

describe("limits and re-entrance", () => {
  test("a request beyond the limit is not sent; the next tick tells of it", () => {
    const layer = new Layer({ ...defaultTransactionLimits, clientMax: 1 });
    layer.send("BYE");
    const { tx } = layer.send("INFO");
    layer.transactions.rebind(tx, layer.tcp);
    expect(layer.heard()).toEqual([]);
    layer.pass(10);
    expect(layer.heard()).toEqual(["failure transport"]);
    expect(tx.isOver).toBe(true);
    expect(layer.udp.take()).toEqual(["BYE"]);
    expect(layer.tcp.take()).toEqual([]);
    expect(layer.transactions.counters.clientRefused).toBe(1);
    expect(layer.transactions.size).toBe(1);
  });

  test("a peer that answers from within send finds the transaction ready", () => {
    const layer = new Layer();
    const echo = {
      reliable: true,
      send: (bytes: Uint8Array): void => {
        const text = Buffer.from(bytes).toString("latin1");
        if (!text.startsWith("ACK")) layer.receive(responseTo(text, text.startsWith("INVITE") ? 486 : 200));
      },
    };
    const invite = layer.send("INVITE", echo);
    const bye = layer.send("BYE", echo);
    expect(layer.heard()).toEqual(["response 486", "response 200"]);
    expect([invite.tx.isOver, bye.tx.isOver]).toEqual([true, true]);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
  });

  test("the user may send the next request from within the news of the last", () => {
    const layer = new Layer();
    let count = 0;
    layer.onHeard = () => {
      if (++count < 5) layer.send("BYE");
    };
    layer.send("BYE");
    layer.pass(5 * 32_010);
    expect(layer.heard()).toEqual(Array(5).fill("failure timeout"));
    expect(layer.transactions.size).toBe(0);
  });

  test("keeps its request and data", () => {
    const layer = new Layer();
    const text = layer.send("INVITE").text.replace("us-1", "own");
    const data = { leg: 1 };
    const bytes = bytesOf(text);
    const tx = layer.transactions.request(layer.udp, bytes, Method.invite, "z9hG4bK-own", data);
    bytes.fill(0);
    expect(tx.data).toBe(data);
    expect(tx.request.requestUri()).toBe("sip:alice@198.51.100.7");
    expect(tx.hop).toBe(layer.udp);
    expect([tx.branch, tx.method]).toEqual(["z9hG4bK-own", Method.invite]);
  });
});
