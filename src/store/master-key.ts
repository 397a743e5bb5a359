import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { randomBytes } from "node:crypto";
import { syncPath } from "./sync-path.ts";
import { keyBytes } from "./vault.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export type MasterKey =
  | { readonly ok: true; readonly key: Buffer }
  /** "missing": no such file or variable. "invalid": not 32 bytes in base64. `text` says what and where. */
  | { readonly ok: false; readonly reason: "missing" | "invalid"; readonly text: string };

/** Reads the master key from where `master_key` says: "file:PATH" or "env:NAME". Never throws. */
export function readMasterKey(source: string, env: Environment): MasterKey {
  const place = source.slice(source.indexOf(":") + 1);
  let text: string | undefined;
  if (source.startsWith("env:")) {
    text = env[place];
    if (text === undefined) return { ok: false, reason: "missing", text: `environment variable ${place} is not set` };
  } else {
    try {
      text = readFileSync(place, "utf8");
    } catch (cause) {
      const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
      if (code === "ENOENT") return { ok: false, reason: "missing", text: `${place} does not exist` };
      return { ok: false, reason: "invalid", text: `${place} cannot be read: ${String(code ?? cause)}` };
    }
  }
  const key = parseMasterKey(text);
  if (key === undefined)
    return { ok: false, reason: "invalid", text: `${place} does not hold ${keyBytes} bytes in base64` };
  return { ok: true, key };
}

/** Where a rotation keeps the new key until the database is under it, and the old one after. */
export function nextMasterKeyFile(file: string): string {
  return `${file}.next`;
}

export function previousMasterKeyFile(file: string): string {
  return `${file}.previous`;
}

/** 32 bytes from base64 or base64url, white space around them allowed; undefined for anything else. */
export function parseMasterKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return undefined;
  const key = Buffer.from(trimmed, "base64");
  return key.length === keyBytes ? key : undefined;
}

/**
 * Makes a new master key file of mode 0600, on the disk when this returns. Never overwrites: throws EEXIST. Losing the file
 * loses every password in the database.
 */
export function createMasterKeyFile(file: string): Buffer {
  const key = randomBytes(keyBytes);
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const descriptor = openSync(file, "wx", 0o600);
  try {
    writeSync(descriptor, `${key.toString("base64")}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  syncPath(folder);
  return key;
}
