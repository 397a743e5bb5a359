import { EnvironmentText } from "./parsers.ts";
import { isTable, type RawTable } from "./table.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const prefix = "WAKELINE_";

/**
 * Lays WAKELINE_* variables over what the file says: `WAKELINE_SIP__PORT` is `sip.port`, `WAKELINE_APPS__0__ID` is the id of
 * the first app (a further app has the next number). An empty variable says nothing. Returns, in words, what cannot be laid.
 */
export function overlay(raw: RawTable, env: Environment): readonly { readonly name: string; readonly text: string }[] {
  const faults: { readonly name: string; readonly text: string }[] = [];
  for (const name of Object.keys(env).sort(byNumbers)) {
    const text = env[name];
    if (!name.startsWith(prefix) || text === undefined || text.trim() === "") continue;
    const segments = name.slice(prefix.length).toLowerCase().split("__");
    if (segments.includes("")) continue;
    const fault = set(raw, segments, new EnvironmentText(name, text));
    if (fault !== undefined) faults.push({ name, text: `${name} ${fault}` });
  }
  return faults;
}

function set(raw: RawTable, segments: readonly string[], value: EnvironmentText): string | undefined {
  let table = raw;
  for (let n = 0; n < segments.length - 1; n++) {
    const key = segments[n] ?? "";
    const index = segments[n + 1] ?? "";
    if (/^\d+$/.test(index)) {
      const list = own(table, key) ?? [];
      if (!Array.isArray(list)) return `counts ${key}, which is no list`;
      table[key] = list;
      if (Number(index) > list.length) return `leaves out ${key}[${list.length}]`;
      if (n + 1 === segments.length - 1) {
        list[Number(index)] = value;
        return undefined;
      }
      const items: unknown[] = list;
      items[Number(index)] ??= {};
      const item = items[Number(index)];
      if (!isTable(item)) return `needs a table at ${key}[${index}]`;
      table = item;
      n++;
      continue;
    }
    const next = own(table, key) ?? {};
    if (!isTable(next)) return `needs a table at ${segments.slice(0, n + 1).join(".")}`;
    table[key] = next;
    table = next;
  }
  table[segments.at(-1) ?? ""] = value;
  return undefined;
}

function own(table: RawTable, key: string): unknown {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** APPS__2 before APPS__10. */
function byNumbers(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
