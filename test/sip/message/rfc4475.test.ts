import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { defaultFrameLimits, StreamFramer } from "../../../src/sip/message/framing.ts";
import { Header } from "../../../src/sip/message/header.ts";
import { Method } from "../../../src/sip/message/method.ts";
import { addressesOf, addressOf, tagOf } from "../../../src/sip/message/read-address.ts";
import { readCSeq, readCSeqMethod } from "../../../src/sip/message/read-cseq.ts";
import { listValues } from "../../../src/sip/message/read-list.ts";
import { readNumber } from "../../../src/sip/message/read-number.ts";
import { countVias, readVia, Via } from "../../../src/sip/message/read-via.ts";
import { rewrite } from "../../../src/sip/message/rewrite.ts";
import { scan } from "../../../src/sip/message/scan.ts";
import { validateRequest, validateResponse } from "../../../src/sip/message/validate.ts";
import { MessageKind, ScanResult, SipView } from "../../../src/sip/message/view.ts";
import { MessageWriter } from "../../../src/sip/message/writer.ts";
import { parseUriText, sameUri, unescapeUser } from "../../../src/sip/uri.ts";
import { tortureBytes, tortureCases, viewOf } from "./corpus.ts";
import { readEverything } from "./read-everything.ts";

/** What a datagram would bring: a status to answer, "ok" to work on it, "drop" for a response not to be trusted. */
function outcome(view: SipView): string {
  if (view.kind === MessageKind.response) return validateResponse(view) ? "ok" : "drop";
  const verdict = validateRequest(view);
  return verdict.ok ? "ok" : String(verdict.status);
}

/** What a stream brings, cut into these segments. */
function streamOutcome(segments: readonly Uint8Array[]): string[] {
  const seen: string[] = [];
  const view = new SipView();
  const framer = new StreamFramer(defaultFrameLimits, {
    onMessage(bytes, from, to) {
      scan(bytes, from, to, view);
      seen.push(`${view.kind === MessageKind.request ? view.methodText() : view.status} ${outcome(view)}`);
    },
    onPing: () => seen.push("ping"),
    onPong: () => seen.push("pong"),
  });
  let fault: string | undefined;
  for (const segment of segments) fault = framer.push(segment)?.reason;
  if (fault !== undefined) seen.push(`fault ${fault}`);
  else if (framer.heldBytes > 0) seen.push("waits");
  return seen;
}

describe("every message of RFC 4475, as a datagram", () => {
  test("the files are those of the RFC", () => {
    expect(tortureCases.length).toBe(50);
    const sum = createHash("sha256");
    for (const { bytes } of [...tortureCases].sort((a, b) => (a.file < b.file ? -1 : 1))) sum.update(bytes);
    expect(sum.digest("hex")).toBe("a027170f419792e5bb50fe912c83d1e456596c7e9e0ae675f34c266d4ffc9398");
  });

  for (const { file, section, kind, parser, answers, bytes } of tortureCases) {
    test(`${file} (§${section}) has an allowed outcome`, () => {
      const view = viewOf(bytes);
      expect(view.kind).toBe(kind === "request" ? MessageKind.request : MessageKind.response);
      const found = outcome(view);
      if (kind === "response") {
        expect(answers).toEqual(["-"]);
        // Two of the well-formed ones have what an endpoint must drop; the others match no transaction, which is not known here.
        expect(found).toBe(parser === "accept" && file !== "bcast.dat" ? "ok" : "drop");
      } else if (found === "ok") expect(parser).not.toBe("reject");
      else expect(answers).toContain(found);
    });

    test(`${file}: everything can be read, of it and of each of its prefixes`, () => {
      const view = new SipView();
      for (let to = 0; to <= bytes.length; to++) {
        scan(bytes, 0, to, view);
        readEverything(view);
      }
    });
  }
});

describe("every message of RFC 4475, on a stream", () => {
  const faults: Readonly<Record<string, string>> = {
    "ncl.dat": "fault badContentLength",
    "mcl01.dat": "fault badContentLength",
    "inv2543.dat": "fault missingContentLength",
  };
  // clerr says 9999 bytes; the file of baddn ends before the empty line.
  const waiting = new Set(["clerr.dat", "baddn.dat"]);

  for (const { file, bytes } of tortureCases) {
    test(`${file} has the same outcome however it is cut`, () => {
      const whole = streamOutcome([bytes]);
      const fault = faults[file];
      if (fault !== undefined) expect(whole).toEqual([fault]);
      else if (waiting.has(file)) expect(whole).toEqual(["waits"]);
      else {
        expect(whole.length).toBe(file === "dblreq.dat" ? 4 : 1);
        expect(whole[0]!.endsWith(` ${outcome(viewOf(bytes))}`)).toBe(true);
      }
      for (let cut = 0; cut <= bytes.length; cut++) {
        expect(streamOutcome([bytes.slice(0, cut), bytes.slice(cut)])).toEqual(whole);
      }
      expect(streamOutcome(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
    });
  }

  test("the second request hidden behind dblreq's body is a message of its own", () => {
    // The file's second body is five bytes longer than it says: they are noise, and no reason to close.
    expect(streamOutcome([tortureBytes("dblreq.dat")])).toEqual(["REGISTER ok", "pong", "INVITE ok", " 400"]);
  });
});

describe("what RFC 4475 says of single messages", () => {
  const via = new Via();

  test("wsinv §3.1.1.1: folds and odd white space change nothing", () => {
    const view = viewOf(tortureBytes("wsinv.dat"));
    expect(addressOf(view, Header.to)).toEqual({
      display: undefined,
      uri: "sip:vivekg@chair-dnrc.example.com",
      params: new Map([["tag", "1918181833n"]]),
    });
    expect(addressOf(view, Header.from)?.display).toBe('J Rosenberg \\"');
    expect(tagOf(view, Header.from)).toBe("98asjd8");
    expect(readNumber(view, Header.maxForwards)).toBe(68);
    expect(readCSeq(view)).toBe(9);
    expect(readCSeqMethod(view)).toBe(Method.invite);
    expect(view.value(Header.subject)).toBe("");
    expect(countVias(view)).toBe(3);
    expect(readVia(view, via)).toBe(true);
    expect([via.host(view.bytes), via.transport(view.bytes), via.branch(view.bytes)]).toEqual([
      "192.0.2.2",
      "UDP",
      "390skdjuw",
    ]);
    expect(view.text(view.otherNamed("NewFangledHeader"))).toBe("newfangled value continued newfangled value");
    expect(view.text(view.otherNamed("UnknownHeaderWithUnusualValue"))).toBe(";;,,;;,;");
    const [contact] = addressesOf(view, Header.contact);
    expect(contact?.display).toBe('Quoted string ""');
    expect(contact?.params).toEqual(
      new Map([
        ["newparam", "newvalue"],
        ["secondparam", ""],
        ["q", "0.33"],
      ]),
    );
  });

  test("intmeth §3.1.1.2: an unknown method and every token character", () => {
    const view = viewOf(tortureBytes("intmeth.dat"));
    expect(view.method).toBe(Method.other);
    expect(view.methodText()).toBe("!interesting-Method0123456789_*+`.%indeed'~");
    expect(addressOf(view, Header.to)?.display).toBe("BEL:\u0007 NUL:\0 DEL:\u007f");
    expect(addressOf(view, Header.from)?.display).toBe("token1~` token2'+_ token3*%!.-");
    expect(tagOf(view, Header.from)).toBe("_token~1'+`*%!-.");
    const uri = parseUriText(view.requestUri());
    expect(uri?.host).toBe("example.com");
    expect(uri?.user).toBe("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
  });

  test("esc01 §3.1.1.3: an escaped @ does not end the user part", () => {
    const uri = parseUriText(viewOf(tortureBytes("esc01.dat")).requestUri());
    expect(uri?.host).toBe("example.net");
    expect(unescapeUser(uri?.user ?? "")).toBe("sips:user@example.com");
  });

  test("escnull §3.1.1.4: an escaped NUL makes another user", () => {
    const [first, second] = addressesOf(viewOf(tortureBytes("escnull.dat")), Header.contact);
    expect(first?.uri).toBe("sip:%00@host5.example.com");
    expect(second?.uri).toBe("sip:%00%00@host5.example.com");
    expect(sameUri(first?.uri ?? "", second?.uri ?? "")).toBe(false);
  });

  test("esc02 §3.1.1.5: RE%47IST%45R is not REGISTER", () => {
    const view = viewOf(tortureBytes("esc02.dat"));
    expect(view.method).toBe(Method.other);
    expect(addressOf(view, Header.to)?.display).toBe("%Z%45");
  });

  test("longreq §3.1.1.7: 34 Vias are below every limit", () => {
    const view = viewOf(tortureBytes("longreq.dat"));
    expect(countVias(view)).toBe(34);
    expect(view.headerCount).toBe(43);
  });

  test("dblreq §3.1.1.8: what follows the body belongs to nobody", () => {
    const bytes = tortureBytes("dblreq.dat");
    const view = viewOf(bytes);
    expect(view.method).toBe(Method.register);
    expect(view.to).toBeLessThan(bytes.length);
    expect(rewrite(view, {}, new MessageWriter())).toEqual(bytes.subarray(0, view.to));
  });

  test("semiuri §3.1.1.9: semicolons in the user part make no parameters", () => {
    const uri = parseUriText(viewOf(tortureBytes("semiuri.dat")).requestUri());
    expect(uri).toMatchObject({ user: "user;par=u%40example.net", host: "example.com", params: "" });
  });

  test("mpart01 §3.1.1.11: a body with NULs and bare LFs passes byte for byte", () => {
    const bytes = tortureBytes("mpart01.dat");
    const view = viewOf(bytes);
    const relayed = viewOf(
      rewrite(view, { maxForwards: 69, pushVia: "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx" }, new MessageWriter()),
    );
    expect(relayed.result).toBe(ScanResult.ok);
    expect(relayed.body()).toEqual(view.body());
    expect(view.body().length).toBe(readNumber(view, Header.contentLength));
  });

  test("unreason §3.1.1.12 and noreason §3.1.1.13: any reason phrase, or none", () => {
    expect(Buffer.from(viewOf(tortureBytes("unreason.dat")).reason(), "latin1").toString()).toStartWith(
      "= 2**3 * 5**2",
    );
    const none = viewOf(tortureBytes("noreason.dat"));
    expect([none.status, none.reason()]).toEqual([100, ""]);
  });

  test("insuf §3.3.1: what is missing is named", () => {
    expect(validateRequest(viewOf(tortureBytes("insuf.dat")))).toEqual({
      ok: false,
      status: 400,
      reason: "Missing To",
    });
  });

  test("bext01 §3.3.5: the options asked for can be listed for a 420", () => {
    const view = viewOf(tortureBytes("bext01.dat"));
    expect(listValues(view, Header.require)).toEqual(["nothingSupportsThis", "nothingSupportsThisEither"]);
    expect(listValues(view, Header.proxyRequire)).toEqual(["noProxiesSupportThis", "norDoAnyProxiesSupportThis"]);
  });

  test("bcast §3.3.10: a response with two Vias is not ours", () => {
    const view = viewOf(tortureBytes("bcast.dat"));
    expect(countVias(view)).toBe(2);
    expect(validateResponse(view)).toBe(false);
  });

  test("cparam01 and cparam02 §3.3.12: brackets decide whose parameter it is", () => {
    expect(addressesOf(viewOf(tortureBytes("cparam01.dat")), Header.contact)).toEqual([
      { display: undefined, uri: "sip:+19725552222@gw1.example.net", params: new Map([["unknownparam", ""]]) },
    ]);
    expect(addressesOf(viewOf(tortureBytes("cparam02.dat")), Header.contact)[0]?.uri).toBe(
      "sip:+19725552222@gw1.example.net;unknownparam",
    );
  });

  test("regescrt §3.3.14: an escaped Route stays inside its URI", () => {
    const view = viewOf(tortureBytes("regescrt.dat"));
    expect(view.find(Header.route)).toBe(-1);
    expect(parseUriText(addressOf(view, Header.contact)?.uri ?? "")?.headers).toBe("?Route=%3Csip:sip.example.com%3E");
  });
});
