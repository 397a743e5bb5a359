import type { ConfigFault } from "./config.ts";
import { EnvironmentText, environmentToml, type Parser } from "./parsers.ts";
import { editDistance, suggest } from "./suggest.ts";

export type RawTable = Record<string, unknown>;

/** Collects the faults of one reading and knows where each key came from. */
export class Reading {
  readonly #lines: ReadonlyMap<string, number>;
  readonly #faults: ConfigFault[] = [];
  readonly #tables: Table[] = [];
  /** Variables that some value names as "env:NAME": they are no keys, whatever they begin with. */
  readonly referenced = new Set<string>();

  constructor(lines: ReadonlyMap<string, number>) {
    this.#lines = lines;
  }

  table(raw: RawTable, path: string): Table {
    const table = new Table(this, raw, path);
    this.#tables.push(table);
    return table;
  }

  /** `text` is whole: it names the key. */
  fault(key: string, text: string, isAbsent = false): void {
    this.#faults.push({ key, line: this.#lineOf(key), text, isAbsent });
  }

  hasFault(key: string): boolean {
    return this.#faults.some((fault) => fault.key === key);
  }

  /** All faults, unknown keys among them, in the order of the file; call once, at the end. */
  finish(): readonly ConfigFault[] {
    for (const table of this.#tables) table.unknownKeys().forEach(([key, value]) => this.#unknown(table, key, value));
    return this.#faults.toSorted((a, b) => (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER));
  }

  #unknown(table: Table, key: string, value: unknown): void {
    const path = table.pathOf(key);
    const nearby = suggest(key, table.asked);
    const elsewhere = nearby === undefined ? this.#elsewhere(key) : undefined;
    const meant = nearby === undefined ? elsewhere : table.pathOf(nearby);
    const variable = firstVariable(value);
    if (variable !== undefined) {
      // WAKELINE_OPERATOR_TOKEN and the like are no keys but may be there for "env:": only what looks like a slip is one.
      const isSlip = nearby !== undefined && editDistance(key, nearby) <= 2;
      if (this.referenced.has(variable) || (table.path === "" && !variable.includes("__") && !isSlip)) return;
    }
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    this.fault(path, `unknown key ${path}${hint}${variable === undefined ? "" : ` (from ${variable})`}`);
  }

  /** A known key of this very name in another table. */
  #elsewhere(key: string): string | undefined {
    const table = this.#tables.find((one) => one.asked.has(key));
    return table?.pathOf(key);
  }

  /** Of the key, or of the nearest thing around it that has a line. */
  #lineOf(key: string): number | undefined {
    for (let path = key; path !== ""; path = path.replace(/(\.[^.[]*|\[\d+\]|^[^.[]*)$/, "")) {
      const line = this.#lines.get(path);
      if (line !== undefined) return line;
    }
    return undefined;
  }
}

/** One table of the configuration. Each key is asked for once; what is never asked for is unknown. */
export class Table {
  readonly path: string;
  readonly asked = new Set<string>();
  readonly #reading: Reading;
  readonly #raw: RawTable;

  constructor(reading: Reading, raw: RawTable, path: string) {
    this.#reading = reading;
    this.#raw = raw;
    this.path = path;
  }

  pathOf(key: string): string {
    return this.path === "" ? key : `${this.path}.${key}`;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#raw, key) && this.#raw[key] !== "";
  }

  /** Undefined when the key is absent, empty text (which says "none"), or faulty, which has been noted then. */
  get<T>(key: string, parser: Parser<T>): T | undefined {
    this.asked.add(key);
    if (!this.has(key)) return undefined;
    const value = this.#raw[key];
    const parsed = parser(value);
    if (parsed.ok) return parsed.value;
    this.fault(key, `must be ${parsed.must}${parsed.secret === true ? "" : `, not ${shown(value)}`}`);
    return undefined;
  }

  /** The same, and a fault when the key is absent. */
  need<T>(key: string, parser: Parser<T>): T | undefined {
    const value = this.get(key, parser);
    if (!this.has(key)) this.fault(key, "is missing");
    return value;
  }

  /** An absent table is an empty one. */
  table(key: string): Table {
    this.asked.add(key);
    return this.#child(key, Object.hasOwn(this.#raw, key) ? this.#raw[key] : {}, this.pathOf(key));
  }

  optionalTable(key: string): Table | undefined {
    this.asked.add(key);
    return Object.hasOwn(this.#raw, key) ? this.table(key) : undefined;
  }

  tables(key: string): readonly Table[] {
    this.asked.add(key);
    const raw = Object.hasOwn(this.#raw, key) ? this.#raw[key] : [];
    const items = raw instanceof EnvironmentText ? environmentToml(raw.text) : raw;
    if (!Array.isArray(items)) {
      this.fault(key, `must be written as [[${this.pathOf(key)}]]`);
      return [];
    }
    return items.map((item, n) => this.#child(key, item, `${this.pathOf(key)}[${n}]`));
  }

  /** `words` complete "KEY …". Names the variable when the value came from one. */
  fault(key: string, words: string): void {
    this.#fault(key, words, false);
  }

  /** The same, for a key that names a variable or file which is not there for this process. */
  absent(key: string, words: string): void {
    this.#fault(key, words, true);
  }

  unknownKeys(): readonly (readonly [string, unknown])[] {
    return Object.entries(this.#raw).filter(([key]) => !this.asked.has(key));
  }

  #fault(key: string, words: string, isAbsent: boolean): void {
    const variable = firstVariable(this.#raw[key]);
    const path = this.pathOf(key);
    this.#reading.fault(path, `${path} ${words}${variable === undefined ? "" : ` (from ${variable})`}`, isAbsent);
  }

  #child(key: string, value: unknown, path: string): Table {
    const raw = value instanceof EnvironmentText ? environmentToml(value.text) : value;
    if (isTable(raw)) return this.#reading.table(raw, path);
    this.fault(key, "must be a table");
    return this.#reading.table({}, path);
  }
}

export function isTable(value: unknown): value is RawTable {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof EnvironmentText) && !(value instanceof Date); // TOML's dates are Dates
}

/** The variable that a value, or something in it, came from, when all of it did. */
function firstVariable(value: unknown): string | undefined {
  if (value instanceof EnvironmentText) return value.name;
  return isTable(value) && Object.keys(value).length > 0 ? firstVariable(Object.values(value)[0]) : undefined;
}

function shown(value: unknown): string {
  const plain: unknown = value instanceof EnvironmentText ? value.text : value;
  const text =
    typeof plain === "object" && plain instanceof Date ? plain.toISOString() : (JSON.stringify(plain) ?? String(plain));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
