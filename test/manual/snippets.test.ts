import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../../src/config/config.ts";
import { faultLines } from "../../src/config/fault-lines.ts";
import { loadConfig } from "../../src/config/load.ts";
import { readPush } from "../../sdk/src/index.ts";
import { type Fence, fences, fencesOf, pages, placeOf } from "./fences.ts";
import { repository } from "./post.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "wakeline-snippets-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Languages of fences, and what is done with them here. A fence without one is a drawing or what something prints. */
const languages: Readonly<Record<string, string>> = {
  "": "not run: a drawing or output",
  sh: "run by shell.test.ts",
  toml: "read as a configuration",
  json: "parsed, pushes read by the client",
  http: "sent to a server by requests.test.ts",
  js: "typechecked",
  ts: "typechecked",
  tsx: "typechecked",
  yaml: "parsed",
  // No compiler of these two is on the machines that run the tests: people read them.
  swift: "not compiled",
  kotlin: "not compiled",
};

test("every fence of the manual is in a language that some test knows", () => {
  const unknown = pages()
    .flatMap((page) => fencesOf(page))
    .filter(({ language }) => languages[language] === undefined);
  expect(unknown.map(placeOf)).toEqual([]);
});

test("what looks like a command is marked as one", () => {
  const command = /^\s*(?:\$ |(?:bun|npx|npm|wakeline|curl|systemctl|apt-get|podman) )/m;
  expect(
    fences("")
      .filter(({ text }) => command.test(text))
      .map(placeOf),
  ).toEqual([]);
});

describe("TOML", () => {
  test("is a configuration that Wakeline takes, whatever files and variables it names", () => {
    const faults = fences("toml").flatMap((fence) => {
      const file = join(folder, "wakeline.toml");
      writeFileSync(file, fence.text);
      for (const [, name = ""] of fence.text.matchAll(/(?:_file|_cert|_key) = "([^"]+)"/g))
        writeFileSync(join(folder, name.replaceAll("/", "_")), "x");
      const text = fence.text.replaceAll(
        /((?:_file|_cert|_key) = ")([^"]+)"/g,
        (_, key: string, name: string) =>
          `${key}${name.startsWith("file:") || name.startsWith("env:") ? name : name.replaceAll("/", "_")}"`,
      );
      writeFileSync(file, text);
      const env = Object.fromEntries([...text.matchAll(/env:(\w+)/g)].map(([, name = ""]) => [name, sha256]));
      try {
        loadConfig(file, env);
        return [];
      } catch (cause) {
        if (!(cause instanceof ConfigError)) throw cause;
        return faultLines(cause, undefined).map((line) => `${placeOf(fence)}: ${line}`);
      }
    });
    expect(faults).toEqual([]);
  });
});
/** Fits where a key and where a secret is wanted. */
const sha256 = `sha256:${"0".repeat(64)}`;

describe("JSON and YAML", () => {
  test("can be parsed; a push is one that the client reads", () => {
    const faults = [...fences("json", "yaml")].flatMap((fence) => {
      try {
        const value: unknown = fence.language === "json" ? JSON.parse(fence.text) : Bun.YAML.parse(fence.text);
        const isPush = typeof value === "object" && value !== null && "v" in value && "kind" in value;
        return isPush && readPush(fence.text) === undefined
          ? [`${placeOf(fence)}: the client does not read this push`]
          : [];
      } catch (cause) {
        return [`${placeOf(fence)}: ${String(cause)}`];
      }
    });
    expect(faults).toEqual([]);
  });
});

describe("TypeScript and JavaScript", () => {
  /** What a reader has already, as the text around the snippets says; by its type where that is known. */
  const given: Readonly<Record<string, string>> = {
    JsSIP: 'typeof import("jssip")',
    SIP: 'typeof import("sip.js")',
    app: "string",
    appKey: "string",
    server: "string",
    token: "string",
    username: "string",
    domain: "string",
    password: "string",
    uri: "string",
    payload: "{ tunnel: string; call: string }",
    keep: "(enrolment: unknown) => void",
    onPush: "(handler: (delivered: unknown) => void) => void",
  };

  test("typechecks with what a reader has already", () => {
    const root = join(folder, "typescript");
    mkdirSync(root);
    symlinkSync(join(repository, "node_modules"), join(root, "node_modules"));
    const snippets = new Map(fences("ts", "js", "tsx").map((fence, n) => [`snippet${n}.${extensionOf(fence)}`, fence]));
    for (const [name, { text }] of snippets) {
      // A name that the snippet itself declares or imports is its own.
      const own = new Set(
        [...text.matchAll(/\b(?:const|let|function|class|import)\s+(?:\{([^}]*)\}|(\w+))/g)].flatMap(
          ([, list = "", one = ""]) => [...list.split(",").map((each) => each.trim().split(/\s/).at(-1) ?? ""), one],
        ),
      );
      const declared = Object.entries(given)
        .filter(([known]) => !own.has(known))
        .map(([known, type]) => `declare const ${known}: ${type};`);
      writeFileSync(join(root, name), `${text}\nexport {};\n${declared.join("\n")}\n`);
    }
    const paths = {
      "@wakeline/client": [join(repository, "sdk/src/index.ts")],
      jssip: [join(repository, "node_modules/jssip")],
    };
    const options = {
      target: "esnext",
      lib: ["esnext", "dom"],
      module: "preserve",
      moduleResolution: "bundler",
      types: ["bun"],
      noEmit: true,
      strict: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      jsx: "react-jsx",
      noImplicitAny: false,
      paths,
    };
    writeFileSync(
      join(root, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: [...snippets.keys()] }),
    );
    const { stdout } = Bun.spawnSync([join(repository, "node_modules/.bin/tsc"), "-p", root], { cwd: root });
    const faults = stdout
      .toString()
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) =>
        line.replace(/^(snippet\d+\.\w+)/, (name) =>
          placeOf(snippets.get(name) ?? { file: name, line: 0, language: "", text: "" }),
        ),
      );
    expect(faults).toEqual([]);
  });
});

/** Snippets are checked as TypeScript, those in JavaScript too: what they use is typed. */
function extensionOf({ language }: Fence): string {
  return language === "tsx" ? "tsx" : "ts";
}
