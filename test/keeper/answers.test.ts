import { describe, expect, test } from "bun:test";
import type { AccountRecord } from "../../src/base/records.ts";
import { type Behaviour, type Heard, lineOf, type Reply, VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { BenchShard } from "./bench-shard.ts";

/** A registrar that challenges nobody and answers as told. */
function answering(behaviour: Behaviour, change: Partial<AccountRecord> = {}) {
  const shard = new BenchShard({ registrar: { open: true } });
  shard.registrar.behaviour = behaviour;
  const account = shard.add(1, change);
  shard.run(100);
  return { shard, account, heard: shard.registrar.heard };
}

const ours = (heard: Heard): string => heard.contacts[0]!.uri;
const ok = (...headers: string[]): Reply => ({ status: 200, headers });
/** Seconds from the answer to the end of the binding. */
const granted = (shard: BenchShard, account: Parameters<BenchShard["state"]>[0]): number =>
  Math.round((shard.keeper.status(account)!.expiresAtMs! - shard.clock.wallMs() + 99) / 1000);

describe("what is granted, RFC 3261 §10.2.4", () => {
  test("the Contact's expires wins over the Expires header", () => {
    const { shard, account } = answering((heard) => ok(`Contact: <${ours(heard)}>;expires=299`, "Expires: 900"));
    expect(granted(shard, account)).toBe(299);
  });

  test("without it the Expires header counts, and without both what was asked", () => {
    const header = answering((heard) => ok(`Contact: <${ours(heard)}>`, "Expires: 180"));
    expect(granted(header.shard, header.account)).toBe(180);
    const none = answering((heard) => ok(`Contact: <${ours(heard)}>`));
    expect(granted(none.shard, none.account)).toBe(600);
  });

  test("a registrar that lists nothing is believed (RFC 2543), and asked no more often for it", () => {
    const { shard, account, heard } = answering(() => ok());
    expect(shard.state(account)).toBe("registered");
    shard.run(400_000);
    expect(heard).toHaveLength(1);
  });

  test("more or less than was asked is taken as it is", () => {
    for (const sec of [59, 3600]) {
      const { shard, account } = answering((heard) => ok(`Contact: <${ours(heard)}>;expires=${sec}`));
      expect(granted(shard, account)).toBe(sec);
    }
  });

  test("a time beyond all measure is looked after once a day", () => {
    for (const sec of ["4294967295", "999999999999999999999"]) {
      const { shard, account, heard } = answering((one) => ok(`Contact: <${ours(one)}>;expires=${sec}`));
      expect(granted(shard, account)).toBe(86_400);
      shard.run(86_400_000, 1000);
      expect(heard).toHaveLength(2);
    }
  });

  test("expires=1 does not make us send more than one REGISTER in 5 s", () => {
    const { shard, heard } = answering((one) => ok(`Contact: <${ours(one)}>;expires=1`));
    shard.run(60_000);
    expect(heard.length).toBeLessThanOrEqual(13);
    for (let n = 1; n < heard.length; n++) expect(heard[n]!.atMs - heard[n - 1]!.atMs).toBeGreaterThanOrEqual(4990);
  });
});

describe("our Contact in the answer", () => {
  test("is found among several, joined by commas or on lines of their own", () => {
    const values = (heard: Heard): string[] => [
      "<sip:u1@203.0.113.1>;expires=50",
      `<${ours(heard)}>;expires=120`,
      '"x, y" <sip:u1@203.0.113.2>;expires=70',
    ];
    for (const lines of [
      (heard: Heard) => [`Contact: ${values(heard).join(", ")}`],
      (heard: Heard) => values(heard).map((value) => `Contact: ${value}`),
    ]) {
      const { shard, account } = answering((heard) => ok(...lines(heard)));
      expect(granted(shard, account)).toBe(120);
    }
  });

  test("is found when host, port and parameters were rewritten (NAT handling)", () => {
    const { shard, account } = answering((heard) =>
      ok(
        `Contact: <sip:u1@203.0.113.1>;expires=50, <sip:u1@10.1.1.1:1234;transport=udp;line=${lineOf(ours(heard))}>;expires=77;received="sip:198.51.100.7:5060"`,
      ),
    );
    expect(granted(shard, account)).toBe(77);
  });

  test("is found by its instance where the line parameter is lost", () => {
    const { shard, account } = answering((heard) =>
      ok(
        `Contact: <sip:u1@203.0.113.1>;expires=50, <sip:x@10.1.1.1>;expires=78;+sip.instance="${heard.contacts[0]!.params.get("+sip.instance")}"`,
      ),
    );
    expect(granted(shard, account)).toBe(78);
  });

  test("is found by its address where nothing else is left, or by its user when it is the only one", () => {
    const place = answering(() => ok("Contact: <sip:u1@203.0.113.1>;expires=50, <sip:u1@198.51.100.7>;expires=79"));
    expect(granted(place.shard, place.account)).toBe(79);
    const user = answering(() => ok("Contact: <sip:u1@10.9.9.9:7777>;expires=80"));
    expect(granted(user.shard, user.account)).toBe(80);
  });

  test("missing from the list is no binding: tried again later, not at once", () => {
    const { shard, account, heard } = answering(() =>
      ok("Contact: <sip:u1@203.0.113.1>;expires=50, <sip:u2@203.0.113.2>;expires=60"),
    );
    expect(shard.state(account)).toBe("retrying");
    expect(shard.keeper.status(account)!.lastReason).toContain("did not keep");
    shard.run(29_000);
    expect(heard).toHaveLength(1);
    shard.run(3_600_000, 100);
    expect(heard.length).toBeLessThan(10);
  });

  test("with expires=0 is no binding either", () => {
    const { shard, account } = answering((heard) => ok(`Contact: <${ours(heard)}>;expires=0`));
    expect(shard.state(account)).toBe("retrying");
  });

  test("garbage in the list does no harm", () => {
    const { shard, account } = answering((heard) =>
      ok(`Contact: <<<>, ;;, "`, `Contact: <${ours(heard)}>;expires=90`, "Contact: *"),
    );
    expect(granted(shard, account)).toBe(90);
  });

  test("of two with our token the one at our address is ours, the other a leftover of an old flow", () => {
    let old = "";
    const { shard, account, heard } = answering((one, registrar) => {
      if (old === "") {
        old = ours(one).replace(":5060;", ":7070;");
        registrar.bind("u1", old, 3000);
      }
      const { status, headers } = registrar.own(one);
      // The old one first.
      const values = headers!
        .join("")
        .replace("Contact: ", "")
        .split(", ")
        .toSorted((a) => (a.includes("7070") ? -1 : 1));
      return { status, headers: [`Contact: ${values.join(", ")}`] };
    });
    expect(granted(shard, account)).toBe(600);
    expect(heard[1]!.contacts.map((one) => one.uri)).toEqual([ours(heard[0]!), old]);
  });

  test("stale ones of ours are removed by one REGISTER that carries the new one, too", () => {
    let old = "";
    const { shard, account, heard } = answering((one, registrar) => {
      if (old === "") {
        const token = lineOf(ours(one))!;
        old = ours(one)
          .replace(token, `${token.slice(0, -3)}aaa`)
          .replace("5060", "6060");
        registrar.bind("u1", old);
      }
      return "own";
    });
    expect(heard).toHaveLength(2);
    expect(heard[1]!.contacts.map((one) => [one.uri, one.params.get("expires")])).toEqual([
      [ours(heard[0]!), undefined],
      [old, "0"],
    ]);
    expect(shard.registrar.bindingsOf("u1").map((one) => one.uri)).toEqual([ours(heard[0]!)]);
    expect(shard.state(account)).toBe("registered");
    shard.run(560_000);
    // Once: the next refresh is plain again.
    expect(heard).toHaveLength(3);
    expect(heard[2]!.contacts).toHaveLength(1);
  });

  test("a stale one that the registrar does not let go is not fought over", () => {
    const { shard, account, heard } = answering((one) => {
      const token = lineOf(ours(one))!;
      return ok(
        `Contact: <${ours(one)}>;expires=600, <${ours(one).replace(token, `${token.slice(0, -3)}aaa`)}>;expires=500`,
      );
    });
    shard.run(300_000);
    expect(heard).toHaveLength(2);
    expect(shard.state(account)).toBe("registered");
  });

  test("other phones' bindings are left alone", () => {
    const { shard, heard } = answering((_one, registrar) => {
      if (registrar.bindingsOf("u1").length === 0) registrar.bind("u1", "sip:u1@203.0.113.1:5070");
      return "own";
    });
    shard.run(1_800_000);
    expect(heard.every((one) => one.contacts.length === 1)).toBe(true);
    expect(heard.some((one) => one.text.includes("Contact: *"))).toBe(false);
  });
});

describe("423 Interval Too Brief, RFC 3261 §10.2.8", () => {
  test("is answered with the Min-Expires it names, which the next refresh and the next account ask for at once", () => {
    const shard = new BenchShard({ registrar: { open: true, expiresSecMin: 900 } });
    const account = shard.add(1);
    shard.run(100);
    shard.add(2);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard.map((one) => one.expires)).toEqual([600, 900, 900]);
  });

  test("without Min-Expires doubles what was asked", () => {
    const { shard, account, heard } = answering((one) => (one.expires! < 1000 ? { status: 423 } : "own"));
    expect(heard.map((one) => one.expires)).toEqual([600, 1200]);
    expect(shard.state(account)).toBe("registered");
  });

  test("that grows each time is no loop", () => {
    const { shard, heard } = answering((one) => ({ status: 423, headers: [`Min-Expires: ${one.expires! + 1}`] }));
    expect(heard).toHaveLength(2);
    shard.run(60_000);
    expect(heard.length).toBeLessThanOrEqual(6);
  });
});

describe("3xx, RFC 3261 §8.1.3.4", () => {
  const elsewhere = { transport: "udp", address: "192.0.2.99", port: 5080 } as const;

  function redirecting(headers: readonly string[]) {
    const shard = new BenchShard({ registrar: { open: true } });
    const second: Heard[] = [];
    const registrar2 = new VirtualRegistrar(shard.wire, elsewhere, { realm: "elsewhere" });
    registrar2.behaviour = (heard) => {
      second.push(heard);
      return "own";
    };
    shard.registrar.behaviour = () => ({ status: 302, headers });
    const account = shard.add(1);
    shard.run(500);
    return { shard, account, second, registrar2 };
  }

  test("is followed to its Contact, which serves refreshes from then on", () => {
    const { shard, account, second } = redirecting(["Contact: <sip:192.0.2.99:5080>"]);
    expect(shard.state(account)).toBe("registered");
    expect(second[0]!.view.requestUri()).toBe("sip:192.0.2.99:5080");
    expect(shard.keeper.status(account)).toMatchObject({ registrar: "192.0.2.99:5080" });
    const before = shard.registrar.heard.length;
    shard.run(560_000);
    expect(shard.registrar.heard.length).toBe(before);
    expect(second).toHaveLength(3);
  });

  test("is followed once: a redirected redirect is not", () => {
    const { shard, account, registrar2 } = redirecting(["Contact: <sip:192.0.2.99:5080>"]);
    registrar2.behaviour = () => ({ status: 302, headers: ["Contact: <sip:192.0.2.10:5060>"] });
    shard.run(590_000);
    expect(shard.state(account)).toBe("registered");
    shard.run(3_600_000, 100);
    expect(registrar2.heard.length).toBeLessThan(20);
    expect(shard.registrar.heard.length).toBeLessThan(20);
  });

  test("to where policy forbids is not followed, and is tried again from the start", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.locator.refuse("10.0.0.1", "egress");
    let redirects = 0;
    shard.registrar.behaviour = () =>
      redirects++ < 2 ? { status: 302, headers: ["Contact: <sip:10.0.0.1:5060>"] } : "own";
    const account = shard.add(1);
    shard.run(20_000);
    expect(shard.state(account)).toBe("retrying");
    shard.run(300_000);
    expect(shard.state(account)).toBe("registered");
  });

  test("of a TLS account never leads out of TLS", () => {
    const shard = new BenchShard({
      registrar: { open: true },
      endpoint: { transport: "tls", address: "192.0.2.10", port: 5061, serverName: "virtual.test" },
      host: { tlsPort: 5061 },
    });
    const clear: string[] = [];
    shard.wire.onPassage = (passage) => {
      if (passage.transport !== "tls") clear.push(passage.to);
    };
    shard.registrar.behaviour = () => ({ status: 302, headers: ["Contact: <sip:192.0.2.99:5080>"] });
    const account = shard.add(1, { transport: "tls" });
    shard.run(60_000);
    expect(shard.registrar.heard.length).toBeGreaterThan(0);
    expect(shard.state(account)).toBe("retrying");
    expect(clear).toEqual([]);
  });

  test("to a server that says nothing comes back to where it came from", () => {
    const { shard, account, registrar2 } = redirecting([]);
    registrar2.isSilent = true;
    let redirects = 0;
    shard.registrar.behaviour = () =>
      redirects++ < 1 ? { status: 302, headers: ["Contact: <sip:192.0.2.99:5080>"] } : "own";
    shard.keeper.retryNow(account);
    shard.run(5000);
    expect(registrar2.requests).toBeGreaterThan(1);
    shard.run(120_000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("to a server that refuses connections comes back, too", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    let redirects = 0;
    shard.registrar.behaviour = () =>
      redirects++ < 1 ? { status: 302, headers: ["Contact: <sip:192.0.2.77:5080;transport=tcp>"] } : "own";
    const account = shard.add(1);
    shard.run(120_000);
    expect(shard.state(account)).toBe("registered");
  });

  test("without a Contact is tried again later", () => {
    const { shard, account } = redirecting([]);
    expect(shard.state(account)).toBe("retrying");
  });
});

describe("refusals", () => {
  test.each([402, 403, 404, 405, 410, 494, 501, 600, 604])(
    "%d ends refused, told once, and is left alone",
    (status) => {
      const { shard, account, heard } = answering(() => ({ status, reason: "No" }));
      shard.run(7_200_000, 100);
      expect(shard.state(account)).toBe("refused");
      expect(heard).toHaveLength(1);
      expect(shard.newsOf("refused")).toMatchObject([{ status, reason: "No" }]);
      expect(shard.keeper.status(account)).toMatchObject({ lastStatus: status, lastReason: "No" });
    },
  );
});

describe("requests that were not understood", () => {
  test.each([400, 420, 439])("%d: once more with the least that RFC 3261 asks for, which is remembered", (status) => {
    const { shard, account, heard } = answering((one) => (one.text.includes("Supported:") ? { status } : "own"));
    expect(shard.state(account)).toBe("registered");
    expect(heard).toHaveLength(2);
    expect(heard[1]!.text).not.toContain("+sip.instance");
    shard.run(560_000);
    expect(heard).toHaveLength(3);
  });

  test("when that does not help either it is tried again later", () => {
    const { shard, account, heard } = answering(() => ({ status: 400 }));
    expect(shard.state(account)).toBe("retrying");
    shard.run(3_600_000, 100);
    expect(heard.length).toBeLessThan(25);
  });
});

describe("troubles of the server", () => {
  test.each([408, 480, 500, 503, 504, 486])(
    "%d is tried again after half a minute to a minute, then less often",
    (status) => {
      const { shard, account, heard } = answering(() => ({ status }));
      expect(shard.state(account)).toBe("retrying");
      shard.run(29_000);
      expect(heard).toHaveLength(1);
      shard.run(32_000);
      expect(heard).toHaveLength(2);
      shard.run(3_600_000, 100);
      expect(heard.length).toBeWithin(5, 12);
      shard.registrar.behaviour = undefined;
      shard.run(1_800_000, 100);
      expect(shard.state(account)).toBe("registered");
    },
  );

  test("Retry-After is kept, with a comment or parameters behind it", () => {
    for (const value of ["120", "120 (maintenance)", "120;duration=3600"]) {
      const { shard, heard } = answering(() => ({ status: 503, headers: [`Retry-After: ${value}`] }));
      shard.run(119_000);
      expect(heard).toHaveLength(1);
      shard.run(15_000);
      expect(heard).toHaveLength(2);
    }
  });

  test("a Retry-After of no time at all is not taken at its word", () => {
    const { shard, heard } = answering(() => ({ status: 503, headers: ["Retry-After: 1"] }));
    shard.run(60_000);
    expect(heard.length).toBeLessThanOrEqual(13);
  });

  test("a binding that lives stays registered through a failed refresh, which is tried again before its end", () => {
    let fails = 0;
    const { shard, account } = answering(() => (fails-- > 0 ? { status: 500 } : "own"));
    fails = 1;
    shard.run(600_000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.count("registerLapsed")).toBe(0);
    expect(shard.newsOf("changed")).toHaveLength(1);
  });

  test("a binding that could not be refreshed lapses at its end, and that is news", () => {
    const { shard, account } = answering(() => "own");
    shard.registrar.behaviour = () => ({ status: 500 });
    shard.run(599_000);
    expect(shard.state(account)).toBe("registered");
    shard.run(2000);
    expect(shard.state(account)).toBe("retrying");
    expect(shard.count("registerLapsed")).toBe(1);
    expect(shard.keeper.secondsLeft(shard.keeper.rowOf(account)!)).toBe(0);
  });

  test("503 goes to the next server of the name at once (RFC 3263 §4.3)", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const backup = { transport: "udp", address: "192.0.2.11", port: 5060 } as const;
    const second = new VirtualRegistrar(shard.wire, backup, { open: true });
    shard.locator.set("virtual.test", [{ transport: "udp", address: "192.0.2.10", port: 5060 }, backup]);
    shard.registrar.behaviour = () => ({ status: 503 });
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(second.heard).toHaveLength(1);
  });
});

describe("what else may stand in a 200", () => {
  test("Service-Route is kept for the anchor (RFC 3608), Path and GRUUs do no harm", () => {
    const { shard, account } = answering((heard) =>
      ok(
        `Contact: <${ours(heard)}>;expires=600;pub-gruu="sip:u1@virtual.test;gr=x";temp-gruu="sip:t@virtual.test;gr"`,
        "Service-Route: <sip:edge.test;lr>, <sip:home.test;lr>",
        "Path: <sip:edge.test;lr;ob>",
        "Require: outbound",
        "P-Associated-URI: <sip:u1@virtual.test>",
      ),
    );
    expect(shard.keeper.serviceRoute(shard.keeper.rowOf(account)!)).toEqual([
      "<sip:edge.test;lr>",
      "<sip:home.test;lr>",
    ]);
    expect(shard.state(account)).toBe("registered");
  });

  test("compact headers and odd white space are read", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard, registrar) => {
      const [, via, , from, to, callId, cseq] = heard.text.split("\r\n");
      const value = (line: string | undefined): string => line!.slice(line!.indexOf(":") + 1).trim();
      registrar.server.reply(
        heard.source,
        Buffer.from(
          `SIP/2.0 200 OK\r\nv:${value(via)}\r\nf :${value(from)}\r\nt:\t${value(to)};tag=1\r\ni:${value(callId)}\r\nCSEQ:\r\n ${value(cseq)}\r\nm:\r\n <${ours(heard)}> ; Expires = 90\r\nl:   0\r\n\r\n`,
        ),
      );
      return "silence";
    };
    const account = shard.add(1);
    shard.run(100);
    expect(granted(shard, account)).toBe(90);
  });
});
