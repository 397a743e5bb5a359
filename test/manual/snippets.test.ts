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
  // No compiler of these is on the machines that run the tests: people read them.
  swift: "not compiled: brackets counted",
  kotlin: "not compiled: brackets counted",
  nginx: "not run: brackets counted",
  xml: "not used: tags counted",
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

describe("Swift, Kotlin, nginx and XML, which nothing here runs", () => {
  test("close what they open", () => {
    const faults = [
      ...fences("swift", "kotlin", "nginx").filter(
        ({ text }) => !closes(text, /[(){}[\]]/g, { "(": ")", "{": "}", "[": "]" }),
      ),
      ...fences("xml").filter(({ text }) => {
        const names = [...text.matchAll(/<(\/?)([\w:.-]+)[^>]*?(\/?)>/g)].filter(([, , , empty]) => empty === "");
        const open: string[] = [];
        return (
          names.some(([, end, name = ""]) => (end === "" ? !open.push(name) : open.pop() !== name)) || open.length > 0
        );
      }),
    ];
    expect(faults.map(placeOf)).toEqual([]);
  });
});

/** True when every bracket outside of texts and comments has its other half. */
function closes(code: string, brackets: RegExp, pairs: Readonly<Record<string, string>>): boolean {
  const plain = code.replaceAll(/"(?:\\.|[^"\\])*"|\/\/.*$/gm, "");
  const open: string[] = [];
  for (const [bracket] of plain.matchAll(brackets)) {
    const other = pairs[bracket];
    if (other !== undefined) open.push(other);
    else if (open.pop() !== bracket) return false;
  }
  return open.length === 0;
}

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

  /** A page's script, or a service worker's: they know different things by the name of `self`. */
  const worlds = [
    { name: "page", lib: ["esnext", "dom"], types: ["bun"], self: undefined },
    { name: "worker", lib: ["esnext", "webworker"], types: [], self: "ServiceWorkerGlobalScope" },
  ] as const;

  for (const world of worlds) {
    test(`typechecks in a ${world.name} with what a reader has already`, () => {
      const isHere = ({ text }: Fence): boolean =>
        /\bself\.(clients|registration)\b/.test(text) === (world.name === "worker");
      expect(faultsOf(fences("ts", "js", "tsx").filter(isHere), world)).toEqual([]);
    });
  }

  /** What the compiler says, by place in the manual. */
  function faultsOf(found: readonly Fence[], world: (typeof worlds)[number]): readonly string[] {
    const root = join(folder, world.name);
    mkdirSync(root);
    symlinkSync(join(repository, "node_modules"), join(root, "node_modules"));
    const snippets = new Map(
      found.map((fence, n) => [`snippet${n}.${fence.language === "tsx" ? "tsx" : "ts"}`, fence]),
    );
    const all = world.self === undefined ? given : { ...given, self: world.self };
    for (const [name, { text }] of snippets) {
      const own = ownNames(text);
      const declared = Object.entries(all)
        .filter(([known]) => !own.has(known))
        .map(([known, type]) => `declare const ${known}: ${type};`);
      writeFileSync(join(root, name), `${text}\nexport {};\n${declared.join("\n")}\n`);
    }
    const compilerOptions = {
      target: "esnext",
      lib: world.lib,
      module: "preserve",
      moduleResolution: "bundler",
      types: world.types,
      allowImportingTsExtensions: true,
      noEmit: true,
      strict: true,
      // Snippets in JavaScript are checked as TypeScript; their parameters have no types.
      noImplicitAny: false,
      skipLibCheck: true,
      jsx: "react-jsx",
      paths: { "@wakeline/client": [join(repository, "sdk/src/index.ts")] },
    };
    writeFileSync(join(root, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [...snippets.keys()] }));
    if (snippets.size === 0) return [];
    const { stdout } = Bun.spawnSync([join(repository, "node_modules/.bin/tsc"), "-p", root], { cwd: root });
    return stdout
      .toString()
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) =>
        line.replace(/^(snippet\d+\.\w+)/, (name) => {
          const fence = snippets.get(name);
          return fence === undefined ? name : placeOf(fence);
        }),
      );
  }
});

/** Names that a snippet itself declares or imports. */
function ownNames(text: string): ReadonlySet<string> {
  const declarations = text.matchAll(
    /\b(?:const|let|function|class|import)\s+(?:(?:type )?\{([^}]*)\}|\* as (\w+)|(\w+))/g,
  );
  return new Set(
    [...declarations].flatMap(([, list = "", all = "", one = ""]) => [
      ...list.split(",").map((each) => each.trim().split(/\s/).at(-1) ?? ""),
      all,
      one,
    ]),
  );
}
