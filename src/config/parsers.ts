import { isIP } from "node:net";
import { parse as parseToml } from "smol-toml";
import type { HostPort } from "./config.ts";
import { isHostName, isLoopback, parseAddress, parseHostPort, parseNetwork } from "./addresses.ts";

/** What a key holds: a TOML value, or the text of an environment variable, from which any kind of value is read. */
export class EnvironmentText {
  readonly name: string;
  readonly text: string;
  constructor(name: string, text: string) {
    this.name = name;
    this.text = text;
  }
}

/** `must` completes "KEY must be …". `secret`: the value is not to be repeated in the fault. */
type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly must: string; readonly secret?: boolean };
export type Parser<T> = (value: unknown) => Parsed<T>;

const textBytesMax = 255;

function good<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

function bad(must: string): Parsed<never> {
  return { ok: false, must };
}

function asText(value: unknown): string | undefined {
  if (value instanceof EnvironmentText) return value.text;
  return typeof value === "string" ? value : undefined;
}

function asNumber(value: unknown): number | undefined {
  if (value instanceof EnvironmentText)
    return /^[+-]?\d+(\.\d+)?$/.test(value.text.trim()) ? Number(value.text) : undefined;
  return typeof value === "number" ? value : undefined;
}

export function wholeNumber(min: number, max: number): Parser<number> {
  return (value) => {
    const number = asNumber(value);
    return number !== undefined && Number.isInteger(number) && number >= min && number <= max
      ? good(number)
      : bad(`a whole number from ${min} to ${max}`);
  };
}

export function numberAbove(min: number, max: number): Parser<number> {
  return (value) => {
    const number = asNumber(value);
    return number !== undefined && number > min && number <= max
      ? good(number)
      : bad(`a number above ${min}, up to ${max}`);
  };
}

export function oneOf<const T extends string>(...choices: readonly T[]): Parser<T> {
  return (value) => {
    const choice = choices.find((one) => one === asText(value));
    return choice === undefined ? bad(choices.map((one) => `"${one}"`).join(" or ")) : good(choice);
  };
}

/** Text of one line that `accept` takes; `must` says what it is to be. */
export function textThat<T>(must: string, accept: (text: string) => T | undefined): Parser<T> {
  return (value) => {
    const text = asText(value)?.trim();
    if (text === undefined || hasControl(text)) return bad(must);
    const accepted = accept(text);
    return accepted === undefined ? bad(must) : good(accepted);
  };
}

export const line: Parser<string> = textThat(`text of one line, at most ${textBytesMax} bytes`, (text) =>
  Buffer.byteLength(text) <= textBytesMax ? text : undefined,
);

/** A secret as it is or by reference; what it is never shows in a fault. */
export const secretText: Parser<string> = (value) => {
  const text = asText(value)?.trim();
  return text === undefined || hasControl(text)
    ? { ok: false, must: 'text, "env:NAME" or "file:PATH"', secret: true }
    : good(text);
};

export const path: Parser<string> = textThat("a path", (text) => text);

export const hostPort: Parser<HostPort> = textThat(
  'an address and port like "127.0.0.1:8080" or "[::1]:8080"',
  parseHostPort,
);

export const address: Parser<string> = textThat("a numeric address", parseAddress);

export const network: Parser<string> = textThat('a network like "10.0.0.0/8" or an address', parseNetwork);

export const host: Parser<string> = textThat(
  "an address or a host name, without port",
  (text) => parseAddress(text) ?? (isHostName(text) ? text.toLowerCase().replace(/\.$/, "") : undefined),
);

/** "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53", as node:dns takes it. */
export const dnsServer: Parser<string> = textThat(
  'the address of a DNS server like "192.0.2.1" or "192.0.2.1:53"',
  (text) => {
    const alone = parseAddress(text);
    if (alone !== undefined) return alone;
    const parsed = parseHostPort(text);
    return parsed !== undefined && isIP(parsed.host) !== 0 && parsed.port > 0 ? text : undefined;
  },
);

/** Without a slash at the end. */
export const publicUrl: Parser<string> = textThat('a URL like "https://push.example.com", without query', (text) => {
  const url = webUrl(text);
  return url === undefined || url.search !== "" || url.hash !== "" ? undefined : url.href.replace(/\/+$/, "");
});

export const anyUrl: Parser<string> = textThat("an http:// or https:// URL", (text) => webUrl(text)?.href);

/** Keys and push tokens go there: https, or this machine. */
export const guardedUrl: Parser<string> = textThat("an https:// URL (http:// only for a loopback address)", (text) => {
  const url = webUrl(text);
  if (url === undefined) return undefined;
  const isSafe = url.protocol === "https:" || isLoopback(url.hostname.replace(/^\[|\]$/g, ""));
  return isSafe ? text.replace(/\/+$/, "") : undefined;
});

export const contactUrl: Parser<string> = textThat('"mailto:someone@example.com" or an https:// URL', (text) =>
  /^mailto:[^\s@]+@[^\s@]+$/.test(text) || webUrl(text)?.protocol === "https:" ? text : undefined,
);

/** Lower-case hex of "sha256:<64 hex digits>". */
export const sha256: Parser<string> = textThat('"sha256:" and 64 hex digits', (text) =>
  /^sha256:([0-9a-f]{64})$/i.exec(text)?.[1]?.toLowerCase(),
);

/** From the environment: comma between, or TOML. A single value stands for a list of one. */
export function listOf<T>(parser: Parser<T>): Parser<readonly T[]> {
  return (value) => {
    let items: readonly unknown[];
    if (value instanceof EnvironmentText) {
      const read = value.text.trim().startsWith("[") ? environmentToml(value.text) : undefined;
      items = Array.isArray(read)
        ? read
        : value.text.split(",").flatMap((part) => (part.trim() === "" ? [] : [part.trim()]));
    } else {
      items = Array.isArray(value) ? value : [value];
    }
    const parsed: T[] = [];
    for (const item of items) {
      const one = parser(item);
      if (!one.ok) return { ...one, must: `a list, each ${one.must}` };
      parsed.push(one.value);
    }
    return good(parsed);
  };
}

/** The TOML value in the text of a variable; undefined when it is none. */
export function environmentToml(text: string): unknown {
  try {
    return parseToml(`value = ${text}`).value;
  } catch {
    return undefined;
  }
}

function hasControl(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(text);
}

function webUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  return url.hostname === "" || url.username !== "" || url.password !== "" ? undefined : url;
}
