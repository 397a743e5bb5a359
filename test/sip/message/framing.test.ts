import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { defaultFrameLimits, StreamFramer } from "../../../src/sip/message/framing.ts";
import { messageBytesMax } from "../../../src/sip/message/limits.ts";
import { bytesOf, fieldMessages, textOf } from "./corpus.ts";

/** A framer whose news are a list of texts. */
function listener(limits = defaultFrameLimits) {
  const news: string[] = [];
  const framer = new StreamFramer(limits, {
    onMessage: (bytes, from, to) => news.push(textOf(bytes.slice(from, to))),
    onPing: () => news.push("ping"),
    onPong: () => news.push("pong"),
  });
  const push = (text: string | Uint8Array) => framer.push(typeof text === "string" ? bytesOf(text) : text)?.reason;
  return { news, framer, push };
}

const one = "A sip:a SIP/2.0\r\nl: 3\r\n\r\nabc";
const two = "B sip:b SIP/2.0\r\nContent-Length: 0\r\nX: y\r\n\r\n";
/** A body that looks like the end of a head, and like another message. */
const tricky = "C sip:c SIP/2.0\r\nl: 38\r\n\r\n\r\n\r\nD sip:d SIP/2.0\r\nl: 99\r\n\r\n\r\n\r\n1234";

describe("messages of a stream, RFC 3261 §18.3", () => {
  test("are cut by Content-Length, one, several, and what is in them does not matter", () => {
    expect(tricky.length - tricky.indexOf("\r\n\r\n") - 4).toBe(38);
    const { news, push } = listener();
    expect(push(one)).toBeUndefined();
    push(two + tricky + one);
    expect(news).toEqual([one, two, tricky, one]);
  });

  test("come out the same however the stream is cut", () => {
    const all = [one, tricky, two, textOf(fieldMessages[2]!), two, one];
    const stream = bytesOf(all.join(""));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 60 }), (sizes) => {
        const { news, push, framer } = listener();
        let at = 0;
        for (const size of sizes) {
          push(stream.slice(at, at + size));
          at += size;
        }
        push(stream.slice(at));
        expect(news).toEqual(all);
        expect(framer.heldBytes).toBe(0);
      }),
    );
    const { news, push } = listener();
    for (const byte of stream) push(Uint8Array.of(byte));
    expect(news).toEqual(all);
  });

  test("a segment's buffer may be used again as soon as push returns", () => {
    const { news, push } = listener();
    const segment = bytesOf(one.slice(0, 20));
    push(segment);
    segment.fill(0);
    push(one.slice(20));
    expect(news).toEqual([one]);
  });

  test("an empty push changes nothing", () => {
    const { news, push, framer } = listener();
    push("");
    push(one.slice(0, 5));
    push("");
    expect(framer.heldBytes).toBe(5);
    push(one.slice(5));
    expect([news, framer.heldBytes]).toEqual([[one], 0]);
  });

  test("a head that cannot be scanned is framed all the same when its length is known", () => {
    const odd = "no start line\r\nno colon\r\nl: 2\r\n\r\nab";
    const { news, push } = listener();
    expect(push(odd + one)).toBeUndefined();
    expect(news).toEqual([odd, one]);
  });

  test("noise without any header goes up as a message and does not end the stream", () => {
    const { news, push } = listener();
    expect(push(`noise\r\n\r\n${one}`)).toBeUndefined();
    expect(news).toEqual(["noise\r\n\r\n", one]);
  });
});

describe("framing that is lost, RFC 3261 §18.3", () => {
  const head = (line: string) => `INVITE sip:a SIP/2.0\r\nVia: v\r\n${line}\r\n\r\n`;

  test.each([
    ["X: y", "missingContentLength"],
    ["Content-Length: -1", "badContentLength"],
    ["Content-Length: 1\r\nContent-Length: 1", "badContentLength"],
    ["Content-Length: 1\r\nl: 2", "badContentLength"],
    ["l: 1, 1", "badContentLength"],
    ["l: one", "badContentLength"],
    ["l:", "badContentLength"],
    ["l: 99999999999999999999", "badContentLength"],
    ["l: 65537", "tooLarge"],
    ["l: 4294967328", "tooLarge"], // 2**32 + 32
    ["l: 9007199254740991", "tooLarge"],
  ] as const)("%j: %s", (line, reason) => {
    const { news, push, framer } = listener();
    expect(push(one + head(line) + one)).toBe(reason);
    expect(news).toEqual([one]);
    // The stream stays lost, and the head is there to be answered with a 400.
    expect(push(one)).toBe(reason);
    expect(news).toEqual([one]);
    expect(textOf(framer.push(bytesOf(""))!.head)).toBe(head(line));
    // The same when it drips.
    const dripped = listener();
    let fault: string | undefined;
    for (const char of head(line)) fault = dripped.push(char);
    expect(fault).toBe(reason);
  });

  test("a Content-Length that is only in a continuation line or another name's end counts for nothing", () => {
    expect(listener().push(head("X: y\r\n Content-Length: 3"))).toBe("missingContentLength");
    expect(listener().push(head("X-Content-Length: 3"))).toBe("missingContentLength");
  });

  test("a message may have 65,536 bytes and not one more", () => {
    const start = "A sip:a SIP/2.0\r\nl: 65500\r\n\r\n";
    const fits = start.replace("65500", String(messageBytesMax - start.length));
    const { news, push } = listener();
    expect(push(fits + "x".repeat(messageBytesMax - fits.length))).toBeUndefined();
    expect(news[0]!.length).toBe(messageBytesMax);
    expect(push(start.replace("65500", String(messageBytesMax - start.length + 1)))).toBe("tooLarge");
  });

  test("a head that does not end is given up at the limit, dripping or not", () => {
    const { news, push } = listener({ messageBytesMax: 100 });
    expect(push("A".repeat(100))).toBeUndefined();
    expect(push("A")).toBe("tooLarge");
    expect(listener({ messageBytesMax: 100 }).push(`A sip:a SIP/2.0\r\nX: ${"y".repeat(100)}\r\nl: 0\r\n\r\n`)).toBe(
      "tooLarge",
    );
    expect(news).toEqual([]);
  });
});

describe("keep-alive, RFC 5626 §3.5.1 and §4.4.1", () => {
  test("two CR LFs are a ping, one is a pong", () => {
    const { news, push } = listener();
    push("\r\n\r\n");
    push(one);
    push("\r\n");
    expect(news).toEqual(["ping", one, "pong"]);
  });

  test("pings between and before messages, in one segment", () => {
    const { news, push } = listener();
    push(`\r\n\r\n\r\n\r\n${one}\r\n\r\n${two}`);
    expect(news).toEqual(["ping", "ping", one, "ping", two]);
  });

  test("a ping that drips is still answered", () => {
    const { news, push } = listener();
    for (const char of "\r\n\r\n") push(char);
    // The first half was taken for a pong, which does no harm.
    expect(news).toEqual(["pong", "ping"]);
  });

  test("the pong that is due is not half of a ping", () => {
    const { news, push, framer } = listener();
    for (let i = 0; i < 3; i++) {
      framer.expectPong();
      push("\r\n");
    }
    expect(news).toEqual(["pong", "pong", "pong"]);
    push("\r\n\r\n");
    expect(news.at(-1)).toBe("ping");
  });

  test("a CR alone waits for its LF; anything else after it is a message's beginning", () => {
    const { news, push, framer } = listener();
    push("\r");
    expect([news, framer.heldBytes]).toEqual([[], 1]);
    push("\n\r\n");
    expect(news).toEqual(["ping"]);
    expect(push("\rX\r\n\r\n")).toBeUndefined();
    expect(news.at(-1)).toBe("\rX\r\n\r\n");
  });
});
