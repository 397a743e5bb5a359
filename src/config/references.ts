import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Environment } from "./environment.ts";

export type Referenced = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly words: string };

/**
 * What a secret says: "env:NAME" is a variable's text, "file:PATH" a file's (relative to `folder`, white space around it cut),
 * anything else itself. `words` complete "KEY …" and never hold the secret.
 */
export function dereference(secret: string, folder: string, env: Environment): Referenced {
  if (secret.startsWith("env:")) {
    const name = secret.slice("env:".length);
    const text = env[name]?.trim() ?? "";
    return text === ""
      ? { ok: false, words: `names the environment variable ${name}, which is not set` }
      : { ok: true, text };
  }
  if (!secret.startsWith("file:")) return { ok: true, text: secret };
  const file = resolve(folder, secret.slice("file:".length));
  try {
    const text = readFileSync(file, "utf8").trim();
    return text === "" ? { ok: false, words: `names ${file}, which is empty` } : { ok: true, text };
  } catch (cause) {
    return { ok: false, words: `names ${file}, which cannot be read: ${reasonOf(cause)}` };
  }
}

/** A file system's error in words. */
export function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  switch (code) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
      return "permission denied";
    case "EISDIR":
      return "it is a folder";
    default:
      return code === "" ? String(cause) : code;
  }
}
