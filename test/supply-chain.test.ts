import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const manifest = JSON.parse(read("package.json")) as {
  readonly trustedDependencies: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

describe("what comes from others (CVE-2026-24910)", () => {
  test("versions are exact, and no package may run a script when it is installed", () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    expect(manifest.trustedDependencies).toEqual([]);
    const names = Object.keys(manifest.scripts).filter((name) => /^(pre|post)|install|prepare/.test(name));
    expect(names).toEqual([]);
  });

  test("every package of the lock file comes from the registry, with its hash, and installs keep to it", () => {
    const packages = [...read("bun.lock").matchAll(/^ {4}"[^"]+": \[(.*)\],?$/gm)].map(([, entry = ""]) => entry);
    expect(packages.length).toBeGreaterThan(100);
    expect(packages.filter((entry) => !/^"[^"]+@\d[^"]*", "", .*"sha512-[\w+/=]+"$/.test(entry))).toEqual([]);
    const installs = Object.values(manifest.scripts).filter((line) => line.includes("bun install"));
    expect(installs.filter((line) => !line.includes("bun install --frozen-lockfile"))).toEqual([]);
  });

  test("no shell is ever started", async () => {
    const shells = /\bBun\.\$|\bimport \{[^}]*\$[^}]*\} from "bun"|node:child_process|shell: true/;
    const found: string[] = [];
    for (const file of new Bun.Glob("src/**/*.{ts,tsx}").scanSync(root)) if (shells.test(read(file))) found.push(file);
    expect(found).toEqual([]);
  });
});
