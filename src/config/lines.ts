/**
 * Which line of a TOML text each key is on, for faults that are found after parsing. Keys are paths: `sip.port`,
 * `apps[0].apns.key_id`, `sip.listen[1]`. The text has been parsed before, so this reads it leniently and never throws.
 */
export function keyLines(text: string): ReadonlyMap<string, number> {
  const scanner = new LineScanner(text);
  scanner.document();
  return scanner.lines;
}

class LineScanner {
  readonly lines = new Map<string, number>();
  readonly #text: string;
  /** How often each `[[array]]` has begun. */
  readonly #counts = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let table = "";
    for (;;) {
      this.#blank();
      if (this.#at >= this.#text.length) return;
      if (this.#peek() === "[") {
        table = this.#header();
      } else if (!this.#pair(table)) {
        this.#next(); // nothing that we know: on to something that we do
      }
    }
  }

  #header(): string {
    const line = this.#line;
    const isArray = this.#text.startsWith("[[", this.#at);
    this.#skip(isArray ? 2 : 1);
    const path = this.#resolve(this.#keys(), isArray);
    this.#note(path, line);
    while (this.#peek() === "]") this.#next();
    return path;
  }

  /** A header's path; one that leads through an array of tables means its latest element. */
  #resolve(segments: readonly string[], isArray: boolean): string {
    let path = "";
    segments.forEach((segment, n) => {
      path = join(path, segment);
      const count = this.#counts.get(path) ?? 0;
      if (isArray && n === segments.length - 1) {
        this.#counts.set(path, count + 1);
        this.#note(path, this.#line);
        path += `[${count}]`;
      } else if (count > 0) {
        path += `[${count - 1}]`;
      }
    });
    return path;
  }

  #pair(table: string): boolean {
    const line = this.#line;
    let path = table;
    const segments = this.#keys();
    if (segments.length === 0) return false;
    for (const segment of segments) {
      path = join(path, segment);
      this.#note(path, line);
    }
    this.#blank();
    if (this.#peek() !== "=") return false;
    this.#next();
    this.#value(path);
    return true;
  }

  #keys(): string[] {
    const segments: string[] = [];
    for (;;) {
      this.#blank();
      const quote = this.#peek();
      if (quote === '"' || quote === "'") {
        segments.push(this.#string());
      } else {
        const from = this.#at;
        while (/[A-Za-z0-9_-]/.test(this.#peek())) this.#next();
        if (this.#at === from) return segments;
        segments.push(this.#text.slice(from, this.#at));
      }
      this.#blank();
      if (this.#peek() !== ".") return segments;
      this.#next();
    }
  }

  #value(path: string): void {
    this.#blank();
    const first = this.#peek();
    if (first === '"' || first === "'") {
      this.#string();
    } else if (first === "[") {
      this.#next();
      for (let n = 0; ; n++) {
        this.#separators();
        if (this.#ends("]")) return;
        const from = this.#at;
        this.#note(`${path}[${n}]`, this.#line);
        this.#value(`${path}[${n}]`);
        if (this.#at === from) this.#next(); // no value at all
      }
    } else if (first === "{") {
      this.#next();
      for (;;) {
        this.#separators();
        if (this.#ends("}")) return;
        if (!this.#pair(path)) this.#next();
      }
    } else {
      while (this.#at < this.#text.length && !",]}#\n".includes(this.#peek())) this.#next();
    }
  }

  /** The text of a basic, literal or multi-line string, escapes as written. */
  #string(): string {
    const quote = this.#peek();
    const fence = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
    this.#skip(fence.length);
    const from = this.#at;
    while (this.#at < this.#text.length && !this.#text.startsWith(fence, this.#at)) {
      if (quote === '"' && this.#peek() === "\\") this.#next();
      this.#next();
    }
    const text = this.#text.slice(from, this.#at);
    this.#skip(fence.length);
    return text;
  }

  #ends(bracket: string): boolean {
    if (this.#at < this.#text.length && this.#peek() !== bracket) return false;
    this.#next();
    return true;
  }

  /** White space, line ends and comments. */
  #blank(): void {
    for (;;) {
      const char = this.#peek();
      if (char === "#") {
        while (this.#at < this.#text.length && this.#peek() !== "\n") this.#next();
      } else if (char === " " || char === "\t" || char === "\r" || char === "\n" || char === "\uFEFF") {
        this.#next();
      } else {
        return;
      }
    }
  }

  #separators(): void {
    for (this.#blank(); this.#peek() === ","; this.#blank()) this.#next();
  }

  #note(path: string, line: number): void {
    if (!this.lines.has(path)) this.lines.set(path, line);
  }

  #peek(): string {
    return this.#text[this.#at] ?? "";
  }

  #next(): void {
    if (this.#text[this.#at] === "\n") this.#line++;
    this.#at++;
  }

  #skip(count: number): void {
    for (let n = 0; n < count; n++) this.#next();
  }
}

function join(path: string, segment: string): string {
  return path === "" ? segment : `${path}.${segment}`;
}
