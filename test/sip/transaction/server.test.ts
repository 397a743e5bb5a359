import { describe, expect, test } from "bun:test";
import { defaultTransactionLimits } from "../../../src/sip/transaction/transaction-user.ts";
import { Layer, RecordingHop, udpSource } from "./layer.ts";
import { request, type RequestFields, textOf, viewOf } from "./messages.ts";

describe("INVITE received, RFC 3261 §17.2.1", () => {
  test("goes up once; its repetitions get the last response", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.receive(request("INVITE"));
    expect(layer.heard()).toEqual(["request INVITE"]);
    expect(layer.udp.take()).toEqual([]);
    layer.respond(100);
    layer.receive(request("INVITE"));
    layer.respond(180);
    layer.receive(request("INVITE"));
    expect(layer.udp.take()).toEqual(["100 INVITE", "100 INVITE", "180 INVITE", "180 INVITE"]);
    expect(layer.heard()).toEqual([]);
    expect(layer.transactions.counters.requestsRepeated).toBe(3);
  });

  test("a 100 leaves after 200 ms when the user is silent, with received and rport, without To tag", () => {
    const layer = new Layer();
    const invite = request("INVITE", { sentBy: "10.0.0.5" });
    layer.receive(invite);
    layer.pass(190);
    expect(layer.udp.sent).toEqual([]);
    layer.pass(10);
    expect(layer.udp.sent[0]).toContain("SIP/2.0 100 Trying\r\n");
    expect(layer.udp.sent[0]).toContain(
      "Via: SIP/2.0/UDP 10.0.0.5;rport=5060;received=198.51.100.7;branch=z9hG4bK-1\r\n",
    );
    expect(layer.udp.sent[0]).toContain("To: <sip:bob@example.net>\r\n");
    layer.receive(invite);
    expect(layer.udp.take()).toEqual(["100 INVITE", "100 INVITE"]);
  });

  test("no 100 of the layer's after an answer of the user", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(180);
    layer.pass(1000);
    expect(layer.udp.take()).toEqual(["180 INVITE"]);
  });

  test("a refusal is repeated at 0.5, 1, 2, 4, 4 s until 32 s, then its ACK is missed", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(486);
    layer.pass(31_990);
    expect(layer.sentAt(layer.udp)).toEqual([0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    layer.heard();
    layer.pass(10);
    expect(layer.heard()).toEqual(["ack timeout"]);
    expect(layer.transactions.size).toBe(0);
  });

  test("over TCP it is sent once, and its ACK is missed as well", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"), layer.tcp);
    layer.respond(486);
    layer.pass(32_000);
    expect(layer.tcp.take()).toEqual(["486 INVITE"]);
    expect(layer.heard()).toEqual(["request INVITE", "ack timeout"]);
  });

  test("its ACK is absorbed, and for 5 s every other one; over TCP the first only", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(486);
    layer.receive(request("ACK", { toTag: "us" }));
    layer.receive(request("ACK", { toTag: "us" }));
    layer.receive(request("INVITE"));
    layer.pass(4990);
    expect(layer.udp.take()).toEqual(["486 INVITE"]);
    expect(layer.heard()).toEqual(["request INVITE"]);
    expect(layer.transactions.size).toBe(1);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
    layer.receive(request("INVITE", { branch: "z9hG4bK-2", cseq: 8 }), layer.tcp);
    layer.respond(486);
    layer.receive(request("ACK", { branch: "z9hG4bK-2", cseq: 8, toTag: "us" }), layer.tcp);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
  });

  test("one final response only", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(486);
    layer.respond(200);
    layer.respond(180);
    expect(layer.udp.take()).toEqual(["486 INVITE"]);
    expect(layer.servers[0]!.lastStatus).toBe(486);
  });
});

describe("INVITE answered by 2xx, RFC 6026 §7.1", () => {
  test("repetitions of the INVITE are absorbed, of the 2xx leave when the user sends them, none by itself", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(200);
    layer.receive(request("INVITE"));
    layer.pass(5000);
    expect(layer.udp.take()).toEqual(["200 INVITE"]);
    layer.respond(200);
    layer.respond(486);
    expect(layer.udp.take()).toEqual(["200 INVITE"]);
    expect(layer.heard()).toEqual(["request INVITE"]);
  });

  test("its ACK, which has a branch of its own, goes up", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(200);
    layer.receive(request("ACK", { branch: "z9hG4bK-ack", toTag: "us" }));
    expect(layer.heard()).toEqual(["request INVITE", "ack"]);
  });

  test("an ACK with the INVITE's branch goes up, too", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(200);
    layer.receive(request("ACK", { toTag: "us" }));
    expect(layer.heard()).toEqual(["request INVITE", "ack"]);
  });

  test("after 64*T1 it is forgotten, and the user hears of it", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(200);
    layer.pass(31_990);
    expect(layer.heard()).toEqual(["request INVITE"]);
    layer.pass(10);
    expect(layer.heard()).toEqual(["ack timeout"]);
    expect(layer.transactions.size).toBe(0);
    layer.respond(200);
    expect(layer.udp.take()).toEqual(["200 INVITE"]);
  });

  test("an ACK before any final response goes up: another branch of a fork has answered", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(180);
    layer.receive(request("ACK", { toTag: "somebody else's" }));
    expect(layer.heard()).toEqual(["request INVITE", "ack"]);
    layer.respond(487);
    expect(layer.udp.take()).toEqual(["180 INVITE", "487 INVITE"]);
  });

  test("an ACK of nothing known goes up", () => {
    const layer = new Layer();
    layer.receive(request("ACK", { toTag: "us" }));
    expect(layer.heard()).toEqual(["ack"]);
    expect(layer.transactions.size).toBe(0);
  });
});

describe("non-INVITE received, RFC 3261 §17.2.2 with RFC 4320", () => {
  test("repetitions are dropped before and answered after the final response, for 32 s", () => {
    const layer = new Layer();
    layer.receive(request("MESSAGE"));
    layer.receive(request("MESSAGE"));
    expect(layer.udp.take()).toEqual([]);
    layer.respond(200);
    layer.respond(500);
    layer.receive(request("MESSAGE"));
    expect(layer.udp.take()).toEqual(["200 MESSAGE", "200 MESSAGE"]);
    expect(layer.heard()).toEqual(["request MESSAGE"]);
    layer.pass(31_990);
    layer.receive(request("MESSAGE"));
    expect(layer.udp.take()).toEqual(["200 MESSAGE"]);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
  });

  test("over TCP it is forgotten with the next tick (timer J is zero)", () => {
    const layer = new Layer();
    layer.receive(request("MESSAGE"), layer.tcp);
    layer.respond(200);
    layer.pass(10);
    expect(layer.transactions.size).toBe(0);
  });

  test("no provisional of the user's over UDP; a 100 of the layer's after 3.5 s", () => {
    const layer = new Layer();
    layer.receive(request("MESSAGE"));
    layer.respond(100);
    layer.respond(183);
    layer.pass(3490);
    expect(layer.udp.take()).toEqual([]);
    layer.pass(10);
    expect(layer.udp.take()).toEqual(["100 MESSAGE"]);
    layer.receive(request("MESSAGE"));
    expect(layer.udp.take()).toEqual(["100 MESSAGE"]);
  });

  test("a 100 of the user's over TCP at once, nothing else provisional", () => {
    const layer = new Layer();
    layer.receive(request("MESSAGE"), layer.tcp);
    layer.respond(183);
    layer.respond(100);
    layer.pass(10_000);
    expect(layer.tcp.take()).toEqual(["100 MESSAGE"]);
  });

  test("no 408, and silence when the sender has given up", () => {
    const layer = new Layer();
    layer.receive(request("MESSAGE"));
    layer.respond(408);
    layer.pass(32_000);
    expect(layer.udp.take()).toEqual(["100 MESSAGE"]);
    expect(layer.transactions.size).toBe(0);
    expect(layer.servers[0]!.isOver).toBe(true);
    layer.respond(200);
    expect(layer.udp.take()).toEqual([]);
  });

  test("a 408 to INVITE is sent", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(408);
    expect(layer.udp.take()).toEqual(["408 INVITE"]);
  });
});

describe("matching of requests, RFC 3261 §17.2.3", () => {
  test.each([
    ["another branch", { branch: "z9hG4bK-2", callId: "other" }],
    ["another host in sent-by", { sentBy: "198.51.100.8:5060" }],
    ["another port in sent-by", { sentBy: "198.51.100.7:5061" }],
    ["no port in sent-by", { sentBy: "198.51.100.7" }],
  ])("%s is another transaction", (_, fields) => {
    const layer = new Layer();
    layer.receive(request("OPTIONS"));
    layer.receive(request("OPTIONS", { callId: "other", ...fields }));
    expect(layer.heard()).toEqual(["request OPTIONS", "request OPTIONS"]);
  });

  test("another source is another transaction, even with everything else the same", () => {
    const layer = new Layer();
    layer.receive(request("OPTIONS", { toTag: "t" }));
    layer.receive(request("OPTIONS", { toTag: "t" }), layer.udp, "203.0.113.66");
    expect(layer.heard()).toEqual(["request OPTIONS", "request OPTIONS"]);
  });

  test("another method with the same branch is another transaction", () => {
    const layer = new Layer();
    layer.receive(request("OPTIONS"));
    layer.receive(request("FROBNICATE"));
    layer.receive(request("FROB"));
    layer.receive(request("FROB"));
    expect(layer.heard()).toEqual(["request OPTIONS", "request FROBNICATE", "request FROB"]);
  });

  test("the cookie and the host of sent-by know no case", () => {
    const layer = new Layer();
    layer.receive(request("OPTIONS", { branch: "Z9HG4BK-1", sentBy: "Host.example.net" }));
    layer.receive(request("OPTIONS", { branch: "Z9HG4BK-1", sentBy: "host.EXAMPLE.net" }));
    expect(layer.heard()).toEqual(["request OPTIONS"]);
  });

  test("a request whose Via cannot be read is dropped", () => {
    const layer = new Layer();
    layer.receive(request("OPTIONS").replace("SIP/2.0/UDP", "nonsense"));
    expect(layer.heard()).toEqual([]);
    expect(layer.transactions.counters.requestsUnkeyed).toBe(1);
  });
});

describe("RFC 2543 senders, RFC 3261 §17.2.3", () => {
  for (const branch of ["", "1", "z9hG4bK"]) {
    const name = branch === "" ? "no branch" : `branch=${branch}`;

    test(`${name}: a repeated INVITE is known by its fields`, () => {
      const layer = new Layer();
      layer.receive(request("INVITE", { branch }));
      layer.receive(request("INVITE", { branch }));
      expect(layer.heard()).toEqual(["request INVITE"]);
    });

    test.each([
      ["Request-URI", { uri: "sip:carol@192.0.2.1" }],
      ["From tag", { fromTag: "2" }],
      ["To tag", { toTag: "2" }],
      ["Call-ID", { callId: "2" }],
      ["CSeq", { cseq: 8 }],
      ["top Via", { sentBy: "198.51.100.9" }],
    ])(`${name}: another %s is another transaction`, (_, fields) => {
      const layer = new Layer();
      const both = { branch, headers: ["Supported: x"] };
      layer.receive(request("OPTIONS", both));
      layer.receive(request("OPTIONS", { ...both, ...fields }), layer.udp, "198.51.100.7");
      const merged = layer.transactions.counters.requestsMerged;
      expect(layer.heard().length + merged).toBe(2);
      expect(layer.transactions.counters.requestsRepeated).toBe(0);
    });

    test(`${name}: the ACK of a refusal is known by our To tag`, () => {
      const layer = new Layer();
      layer.receive(request("INVITE", { branch }));
      layer.respond(486);
      layer.receive(request("ACK", { branch, toTag: "foreign" }));
      expect(layer.heard()).toEqual(["request INVITE", "ack"]);
      layer.receive(request("ACK", { branch, toTag: "us" }));
      layer.udp.take();
      layer.pass(4000);
      expect(layer.udp.take()).toEqual([]);
      expect(layer.heard()).toEqual([]);
    });

    test(`${name}: the ACK of a refused re-INVITE`, () => {
      const layer = new Layer();
      layer.receive(request("INVITE", { branch, toTag: "us" }));
      layer.respond(488);
      layer.receive(request("ACK", { branch, toTag: "us" }));
      layer.udp.take();
      layer.pass(4000);
      expect(layer.udp.take()).toEqual([]);
    });

    test(`${name}: the ACK of a 2xx goes up, RFC 6026 §6`, () => {
      const layer = new Layer();
      layer.receive(request("INVITE", { branch }));
      layer.respond(200);
      layer.receive(request("ACK", { branch, toTag: "us" }));
      layer.receive(request("ACK", { branch, toTag: "us" }));
      expect(layer.heard()).toEqual(["request INVITE", "ack", "ack"]);
    });

    test(`${name}: CANCEL finds its INVITE`, () => {
      const layer = new Layer();
      layer.receive(request("INVITE", { branch }));
      layer.receive(request("CANCEL", { branch }));
      expect(layer.heard()).toEqual(["request INVITE", "cancel"]);
      expect(layer.udp.take()).toEqual(["200 CANCEL"]);
    });
  }
});

describe("CANCEL received, RFC 3261 §9.2", () => {
  test("of an open INVITE: 200 at once, then the user hears of it", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(180);
    layer.udp.take();
    layer.onHeard = (item) => {
      if (item === "cancel") layer.respond(487);
    };
    layer.receive(request("CANCEL"));
    expect(layer.udp.take()).toEqual(["200 CANCEL", "487 INVITE"]);
    expect(layer.heard()).toEqual(["request INVITE", "cancel"]);
  });

  test("both answers have the same To tag", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(180);
    layer.receive(request("CANCEL"));
    expect(layer.udp.sent[1]).toContain("To: <sip:bob@example.net>;tag=us\r\n");
  });

  test("repeated: 200 again, told once", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.receive(request("CANCEL"));
    layer.receive(request("CANCEL"));
    expect(layer.udp.take()).toEqual(["200 CANCEL", "200 CANCEL"]);
    expect(layer.heard()).toEqual(["request INVITE", "cancel"]);
    layer.pass(32_000);
    expect(layer.transactions.size).toBe(1);
  });

  test("after a final response: 200, and no effect", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(200);
    layer.receive(request("CANCEL"));
    expect(layer.udp.take()).toEqual(["200 INVITE", "200 CANCEL"]);
    expect(layer.heard()).toEqual(["request INVITE"]);
  });

  test("of nothing known: 481, and nothing remembered", () => {
    const layer = new Layer();
    layer.receive(request("CANCEL"));
    expect(layer.udp.sent[0]).toStartWith("SIP/2.0 481 Call/Transaction Does Not Exist\r\n");
    expect(layer.udp.sent[0]).toMatch(/To: <sip:bob@example.net>;tag=[a-z2-7]{12}\r\n/);
    expect(layer.transactions.size).toBe(0);
    expect(layer.heard()).toEqual([]);
  });

  test("a 481 is never longer than the datagram that asked for it", () => {
    const layer = new Layer();
    const short = request("CANCEL", { uri: "sip:a" }).replace(/Max-Forwards.*?\r\n|User-Agent.*?\r\n/g, "");
    layer.receive(short);
    expect(layer.udp.sent).toEqual([]);
    expect(layer.transactions.counters.answersWithheld).toBe(1);
    layer.receive(short, layer.tcp);
    expect(layer.tcp.take()).toEqual(["481 CANCEL"]);
  });

  test("from another source it finds nothing", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.receive(request("CANCEL"), layer.udp, "203.0.113.66");
    expect(layer.heard()).toEqual(["request INVITE"]);
    expect(layer.udp.take()).toEqual(["481 CANCEL"]);
  });
});

describe("merged requests, RFC 3261 §8.2.2.2", () => {
  const twin = { branch: "z9hG4bK-2" };

  test("the same request on a second path gets 482, whose ACK is absorbed", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    const path = new RecordingHop(layer.clock, false);
    layer.receive(request("INVITE", twin), path, "203.0.113.66");
    expect(path.take()).toEqual(["482 INVITE"]);
    layer.receive(request("ACK", { ...twin, toTag: "x" }), path, "203.0.113.66");
    layer.pass(1000);
    expect(path.take()).toEqual([]);
    expect(layer.heard()).toEqual(["request INVITE"]);
    expect(layer.transactions.counters.requestsMerged).toBe(1);
  });

  test.each<[string, RequestFields, RequestFields]>([
    ["of another account of ours", {}, { uri: "sip:bob@192.0.2.1;line=other" }],
    ["with another CSeq", {}, { cseq: 8 }],
    ["within a dialog", { toTag: "us" }, { toTag: "us" }],
  ])("not one %s", (_, first, second) => {
    const layer = new Layer();
    layer.receive(request("INVITE", first));
    layer.receive(request("INVITE", { ...twin, ...second }));
    expect(layer.heard()).toEqual(["request INVITE", "request INVITE"]);
  });

  test("not a new try after a refusal: a proxy that forks one after the other", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(300);
    layer.receive(request("INVITE", twin));
    expect(layer.heard()).toEqual(["request INVITE", "request INVITE"]);
    // The newer one is what a third is measured by.
    layer.pass(31_000);
    layer.receive(request("INVITE", { branch: "z9hG4bK-3" }));
    expect(layer.heard()).toEqual([]);
    layer.pass(1010);
    layer.heard();
    layer.receive(request("INVITE", { branch: "z9hG4bK-4" }));
    expect(layer.heard()).toEqual([]);
  });

  test("but one after a 2xx", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"));
    layer.respond(200);
    layer.receive(request("INVITE", twin));
    expect(layer.udp.take()).toEqual(["200 INVITE", "482 INVITE"]);
  });

  test("not the same sender again after the loss of its connection", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"), layer.tcp);
    layer.transactions.hopFailed(layer.tcp);
    layer.receive(request("INVITE", twin), new RecordingHop(layer.clock, true));
    expect(layer.heard()).toEqual(["request INVITE", "request INVITE"]);
  });
});

describe("responses over a lost hop, RFC 6026 §7.1", () => {
  test("a transaction survives it, and answers on the connection that brings the request again", () => {
    for (const method of ["INVITE", "MESSAGE"]) {
      const layer = new Layer();
      layer.receive(request(method), layer.tcp);
      layer.transactions.hopFailed(layer.tcp);
      const next = new RecordingHop(layer.clock, true);
      layer.receive(request(method), next);
      layer.respond(method === "INVITE" ? 486 : 200);
      expect(layer.heard()).toEqual([`request ${method}`]);
      expect(layer.tcp.take()).toEqual([]);
      expect(next.take()).toHaveLength(1);
    }
  });

  test("a refusal sent into the void leaves again with the repeated INVITE", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"), layer.tcp);
    layer.respond(486);
    layer.transactions.hopFailed(layer.tcp);
    const next = new RecordingHop(layer.clock, true);
    layer.receive(request("INVITE"), next);
    expect(next.take()).toEqual(["486 INVITE"]);
  });

  test("a datagram's answer goes where the first went, until that fails", () => {
    const layer = new Layer();
    const other = new RecordingHop(layer.clock, false);
    layer.receive(request("INVITE"));
    layer.respond(180);
    layer.receive(request("INVITE"), other);
    expect(layer.udp.take()).toEqual(["180 INVITE", "180 INVITE"]);
    layer.transactions.hopFailed(layer.udp);
    layer.receive(request("INVITE"), other);
    expect(other.take()).toEqual(["180 INVITE"]);
    layer.receive(request("INVITE"), layer.udp);
    expect(other.take()).toEqual(["180 INVITE"]);
  });

  test("rebound by the user: the last response is sent again there", () => {
    const layer = new Layer();
    layer.receive(request("INVITE"), layer.tcp);
    layer.respond(180);
    layer.transactions.hopFailed(layer.tcp);
    const next = new RecordingHop(layer.clock, true);
    layer.transactions.rebind(layer.servers[0]!, next);
    layer.receive(request("INVITE"), layer.udp);
    layer.respond(200);
    expect(next.take()).toEqual(["180 INVITE", "180 INVITE", "200 INVITE"]);
    expect(layer.servers[0]!.hop).toBe(next);
  });
});

describe("limits and forgetting", () => {
  test("a request beyond the limit gets 503 and leaves nothing", () => {
    const layer = new Layer({ ...defaultTransactionLimits, serverMax: 1 });
    layer.receive(request("OPTIONS"));
    layer.receive(request("OPTIONS", { branch: "z9hG4bK-2", callId: "2" }), layer.tcp);
    expect(layer.tcp.take()).toEqual(["503 OPTIONS"]);
    layer.receive(request("CANCEL", { branch: "z9hG4bK-9" }));
    expect(layer.udp.take()).toEqual(["481 CANCEL"]);
    expect(layer.heard()).toEqual(["request OPTIONS"]);
    expect(layer.transactions.counters.serverRefused).toBe(1);
    expect(layer.transactions.size).toBe(1);
  });

  test("kept bytes are bounded, and given back", () => {
    const one = request("OPTIONS").length;
    const layer = new Layer({ ...defaultTransactionLimits, keptBytesMax: 2 * one + 400 });
    const send = (n: number): void => layer.receive(request("OPTIONS", { branch: `z9hG4bK-${n}`, callId: `${n}` }));
    send(1);
    layer.respond(200);
    send(2);
    expect(layer.heard()).toHaveLength(2);
    layer.respond(200);
    send(3);
    expect(layer.heard()).toEqual([]);
    layer.pass(32_010);
    send(4);
    send(5);
    expect(layer.heard()).toHaveLength(2);
  });

  test("a CANCEL beyond the limit still reaches the user", () => {
    const layer = new Layer({ ...defaultTransactionLimits, serverMax: 1 });
    layer.receive(request("INVITE"));
    layer.receive(request("CANCEL"));
    expect(layer.heard()).toEqual(["request INVITE", "cancel"]);
  });

  test("a forgotten request is not answered, now or later", () => {
    const layer = new Layer();
    layer.onHeard = (_, tx) => {
      if (tx !== undefined && "source" in tx) layer.transactions.forget(tx);
    };
    layer.receive(request("INVITE"));
    expect(layer.transactions.size).toBe(0);
    expect(layer.transactions.nextDueMs()).toBe(Infinity);
    layer.respond(180);
    layer.pass(60_000);
    expect(layer.udp.take()).toEqual([]);
    expect(layer.transactions.size).toBe(0);
    expect(layer.transactions.nextDueMs()).toBe(Infinity);
    layer.receive(request("INVITE"));
    expect(layer.heard()).toEqual(["request INVITE", "request INVITE"]);
    layer.transactions.forget(layer.servers[0]!);
  });

  test("request, source and data are kept", () => {
    const layer = new Layer();
    const source = { ...udpSource };
    const view = viewOf(request("OPTIONS"));
    layer.transactions.receiveRequest(view, source, layer.udp, "s");
    source.address = "changed";
    view.bytes.fill(0);
    const [tx] = layer.servers;
    tx!.data = 5;
    expect(tx!.source).toEqual(udpSource);
    expect(textOf(tx!.request.bytes)).toBe(request("OPTIONS"));
    expect([tx!.branch, tx!.request.requestUri(), tx!.data]).toEqual(["z9hG4bK-1", "sip:bob@192.0.2.1;line=abc", 5]);
  });

  test("a user that answers from within onRequest, over a hop that answers from within send", () => {
    const layer = new Layer();
    layer.onHeard = (item) => {
      if (item.startsWith("request")) layer.respond(486);
    };
    const sent: string[] = [];
    const echo = {
      reliable: true,
      send: (bytes: Uint8Array): void => {
        sent.push(textOf(bytes).slice(8, 11));
        if (textOf(bytes).includes("486")) layer.receive(request("ACK", { toTag: "us" }), echo);
      },
    };
    layer.receive(request("INVITE"), echo);
    layer.pass(10);
    expect(sent).toEqual(["486"]);
    expect(layer.transactions.size).toBe(0);
  });
});
