import { describe, expect, test } from "bun:test";
import { AnchorBench } from "../fakes/anchor-bench.ts";
import { SipText } from "../fakes/sip-text.ts";

function scene(transport: "udp" | "tcp" = "udp") {
  const bench = new AnchorBench();
  const server = bench.addServer({ transport });
  const alice = bench.addAccount("alice", server, { mobile: {} });
  const mobile = bench.phone("mobile");
  mobile.opens();
  /** The words that wait, by their name; each event is looked at once. */
  const words = new Map<string, { readonly to: string; readonly message: SipText }>();
  const waiting = () => {
    for (const { id, word } of bench.taken("will")) {
      if (word === undefined) words.delete(id);
      else words.set(id, { to: word.to, message: new SipText(word.text) });
    }
    return [...words.values()];
  };
  return { bench, server, alice, mobile, waiting };
}

describe("what a shard leaves to be said should it die", () => {
  test("a phone that rings: the CANCEL of its INVITE; the server: 500", () => {
    const { bench, server, alice, mobile, waiting } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    server.gets(180);
    const [answer, cancel] = waiting();
    expect(cancel?.to).toBe("phone");
    expect(cancel?.message.method).toBe("CANCEL");
    expect(cancel?.message.branch).toBe(offered.branch);
    expect(cancel?.message.cseq).toBe(offered.cseq);
    for (const name of ["From", "To", "Call-ID"]) expect(cancel?.message.get(name)).toBe(offered.get(name));
    expect(cancel?.message.get("Reason")).toContain("cause=500");
    expect(answer?.to).toBe("server");
    expect(answer?.message.status).toBe(500);
    expect(answer?.message.branch).toBe(invite.branch);
    mobile.answers(offered, 200);
    expect(waiting()).toEqual([]);
    bench.pass(1_000);
    expect(waiting()).toEqual([]);
  });

  test.each([486, 200])("nothing any more once it has answered %p", (status) => {
    const { server, alice, mobile, waiting } = scene();
    server.invites(alice);
    const offered = mobile.gets("INVITE");
    expect(waiting()).toHaveLength(2);
    mobile.answers(offered, status);
    expect(waiting()).toEqual([]);
  });

  test("nor once the server has taken it back", () => {
    const { server, alice, mobile, waiting } = scene();
    const invite = server.invites(alice);
    mobile.gets("INVITE");
    server.cancels(invite);
    expect(waiting()).toEqual([]);
  });

  test("a phone that sleeps is left nothing, its server is; a server on a stream sees its connection break", () => {
    const { server, alice, mobile, waiting } = scene();
    mobile.closes();
    server.invites(alice);
    expect(waiting().map(({ to }) => to)).toEqual(["server"]);
    const stream = scene("tcp");
    stream.mobile.closes();
    stream.server.invites(stream.alice);
    expect(stream.waiting()).toEqual([]);
  });

  test("a phone that calls: 500 to its INVITE, until it is answered", () => {
    const { server, alice, mobile, waiting } = scene();
    const invite = mobile.request("INVITE", alice);
    const passed = server.gets("INVITE");
    server.answers(passed, 180);
    const [left] = waiting();
    expect(left?.to).toBe("phone");
    expect(left?.message.status).toBe(500);
    expect(left?.message.branch).toBe(invite.branch);
    server.answers(passed, 486);
    expect(waiting()).toEqual([]);
  });

  test("the next life sends what is left to a server, over the same socket", () => {
    const { bench, server } = scene();
    const { address, port } = server;
    bench.isStrict = false;
    const text = new SipText("SIP/2.0 500 Server Internal Error\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n").text;
    bench.anchor.lastAnswer({ kind: "lastAnswer", to: "server", address, port, text });
    expect(server.gets(500).text).toBe(text);
  });
});
