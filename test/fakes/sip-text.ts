/** One SIP message as tests look at it: lines and values as they stand on the wire. */
export class SipText {
  readonly text: string;
  readonly startLine: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;

  constructor(text: string) {
    this.text = text;
    const end = text.indexOf("\r\n\r\n");
    const [startLine = "", ...lines] = (end < 0 ? text : text.slice(0, end)).split("\r\n");
    this.startLine = startLine;
    this.headers = lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const;
    });
    this.body = end < 0 ? "" : text.slice(end + 4);
  }

  get isResponse(): boolean {
    return this.startLine.startsWith("SIP/2.0 ");
  }
  /** 0 for requests. */
  get status(): number {
    return this.isResponse ? Number(this.startLine.slice(8, 11)) : 0;
  }
  /** Of the request, or of the request that a response answers. */
  get method(): string {
    return this.isResponse ? (this.get("CSeq").split(" ")[1] ?? "") : (this.startLine.split(" ")[0] ?? "");
  }
  get uri(): string {
    return this.startLine.split(" ")[1] ?? "";
  }

  all(name: string): string[] {
    return this.headers.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }
  has(name: string): boolean {
    return this.all(name).length > 0;
  }
  /** The first value of this name; a missing header is a failed test. */
  get(name: string): string {
    const value = this.all(name)[0];
    if (value === undefined) throw new Error(`no ${name} in\n${this.text}`);
    return value;
  }
  /** A `;name=value` parameter of a header. */
  param(header: string, name: string): string | undefined {
    return new RegExp(`;\\s*${name}=("[^"]*"|[^;,>\\s]*)`, "i").exec(this.get(header).replace(/^.*>/, ""))?.[1];
  }
  get branch(): string {
    return /;branch=([^;,\s]+)/.exec(this.get("Via"))?.[1] ?? "";
  }
  get cseq(): number {
    return Number(this.get("CSeq").split(" ")[0]);
  }
  get contactUri(): string {
    return /<([^>]*)>/.exec(this.get("Contact"))?.[1] ?? this.get("Contact");
  }
  /** Headers but for those of these names, as lines. */
  linesWithout(...names: string[]): string[] {
    const left = new Set(names.map((name) => name.toLowerCase()));
    return this.headers.filter(([name]) => !left.has(name.toLowerCase())).map(([name, value]) => `${name}: ${value}`);
  }
}

/** Puts a message together; Content-Length is counted. */
export function sipText(startLine: string, lines: readonly string[], body = ""): string {
  const length = Buffer.byteLength(body, "latin1");
  return `${[startLine, ...lines, `Content-Length: ${length}`].join("\r\n")}\r\n\r\n${body}`;
}
