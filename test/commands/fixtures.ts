import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandIo } from "../../src/commands/io.ts";

export interface Heard extends CommandIo {
  readonly outs: string[];
  readonly errs: string[];
}

export function heard(): Heard {
  const outs: string[] = [];
  const errs: string[] = [];
  return { outs, errs, out: (line) => void outs.push(line), err: (line) => void errs.push(line) };
}

export interface Folder extends Disposable {
  readonly path: string;
  write(name: string, text: string, mode?: number): string;
}

/** A temporary folder, gone at the end of the scope. */
export function folder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "wakeline-commands-"));
  return {
    path,
    write: (name, text, mode = 0o600) => {
      const file = join(path, name);
      writeFileSync(file, text, { mode });
      return file;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
