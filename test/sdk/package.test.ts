import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** An app's folder with the package installed from its tarball. */
let folder: string;
let app: string;
let packed: Packed;

async function run(cwd: string, ...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${code}\n${out}${err}`);
  return out;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "wakeline-package-"));
  app = join(folder, "app");
  // Built beside the sources of others, not among them: `npm pack` writes dist/.
  cpSync(join(root, "sdk"), join(folder, "sdk"), { recursive: true, filter: (path) => !path.endsWith("/dist") });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const said = await run(join(folder, "sdk"), "npm", "pack", "--json", "--pack-destination", folder);
  const [first] = JSON.parse(said.slice(said.indexOf("["))) as readonly Packed[];
  if (first === undefined) throw new Error(said);
  packed = first;
  await Bun.write(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  const tarball = join(folder, packed.filename);
  await run(app, "npm", "install", "--offline", "--no-audit", "--no-fund", "--no-save", tarball);
  // What an app has beside it.
  mkdirSync(join(app, "node_modules/@types"), { recursive: true });
  for (const name of ["jssip", "sip.js", "@types/node", "undici-types", "@types/events", "@types/debug"])
    symlinkSync(join(root, "node_modules", name), join(app, "node_modules", name));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = `
  import * as kit from "@wakeline/client";
  const push = kit.readPush({ wakeline: JSON.stringify({ v: 1, id: "p", kind: "call", sentAt: new Date().toISOString(),
    call: "c", tunnel: "wss://push.example.com/v1/tunnel?ticket=t" }) });
  const made = [];
  class Socket { constructor(url, protocol) { made.push(url, protocol); } close() {} send() {} }
  const tunnel = new kit.Tunnel({ url: kit.judgeCall(push).tunnel, webSocket: Socket });
  const socket = kit.jsSipSocket(tunnel);
  socket.connect();
  socket.disconnect();
  const device = new kit.WakelineDevice({ server: "http://127.0.0.1:9", deviceId: "d", token: "t" });
  const problem = await device.describe().catch((cause) => cause);
  console.log(JSON.stringify([made, tunnel.state, problem instanceof kit.WakelineProblem, problem.code]));
`;
const said = JSON.stringify([
  ["wss://push.example.com/v1/tunnel?ticket=t", "sip"],
  { kind: "closed", why: "asked" },
  true,
  "unreachable",
]);

const typed = `
  import JsSIP from "jssip";
  import { TransportState, UserAgent } from "sip.js";
  import { jsSipSocket, sipJsTransport, Tunnel, WakelineDevice, WakelineProblem, type PushPayload } from "@wakeline/client";

  export async function woken(device: WakelineDevice, payload: PushPayload): Promise<string> {
    const decision = await device.decideCall(payload);
    if (decision.kind === "over") return decision.state ?? "unknown";
    if (decision.kind === "ignore") return decision.reason;
    const tunnel = new Tunnel({ url: decision.tunnel, fallbackUrl: device.tunnelUrl() });
    new JsSIP.UA({ sockets: [jsSipSocket(tunnel)], uri: "sip:alice@example.com" }).start();
    await new UserAgent({ transportConstructor: sipJsTransport(TransportState, tunnel) }).start();
    // @ts-expect-error a tunnel has an URL
    new Tunnel({});
    return tunnel.state.kind;
  }
  export function why(cause: unknown): string {
    return cause instanceof WakelineProblem ? cause.errors.map(({ field }) => field).join() : "";
  }
`;

describe("@wakeline/client as it is published", () => {
  test("holds built JavaScript with types, licence and README, no sources, and needs nothing", async () => {
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toContain("dist/index.js");
    expect(paths).toContain("dist/index.d.ts");
    expect(paths.filter((path) => !path.startsWith("dist/")).sort()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(paths.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))).toEqual([]);
    const manifest = (await Bun.file(join(root, "sdk/package.json")).json()) as Readonly<Record<string, unknown>>;
    expect([manifest["dependencies"], manifest["peerDependencies"]]).toEqual([undefined, undefined]);
    // React Native's bundler looked at these alone for years, and not at `exports`.
    for (const field of ["main", "types"]) expect(paths).toContain(String(manifest[field]).replace("./", ""));
  });

  test.each([
    ["Node", "node"],
    ["Bun", process.execPath],
  ])("runs in %s", async (_name, runtime) => {
    await Bun.write(join(app, "program.mjs"), program);
    expect((await run(app, runtime, "program.mjs")).trim()).toBe(said);
  });

  test("bundles for browsers without anything of Node, and without a window", async () => {
    await Bun.write(join(app, "browser.js"), `export * from "@wakeline/client";`);
    const built = await Bun.build({ entrypoints: [join(app, "browser.js")], target: "browser", format: "esm" });
    const text = (await built.outputs[0]?.text()) ?? "";
    expect(text.length).toBeGreaterThan(10_000);
    const code = text.replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, "");
    expect(code.match(/\bnode:|\brequire\(|\bprocess\b|\bBuffer\b|\bwindow\b|\bdocument\b|new URL\b/g)).toBeNull();
  });

  test.each([
    ["node16", "node16"],
    ["preserve", "bundler"],
  ])("has types for strict apps, module %s, moduleResolution %s", async (module, moduleResolution) => {
    const compilerOptions = {
      target: "es2022",
      module,
      moduleResolution,
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      types: [],
      // JsSIP's and SIP.js' types do not stand a check of their own; ours do, below.
      skipLibCheck: true,
    };
    const name = `tsconfig.${moduleResolution}.json`;
    await Bun.write(join(app, "app.ts"), typed);
    await Bun.write(join(app, name), JSON.stringify({ compilerOptions, files: ["app.ts"] }));
    await run(app, join(root, "node_modules/.bin/tsc"), "-p", name);
    await Bun.write(join(app, "own.ts"), `export * from "@wakeline/client";`);
    const own = { compilerOptions: { ...compilerOptions, skipLibCheck: false }, files: ["own.ts"] };
    await Bun.write(join(app, `own.${name}`), JSON.stringify(own));
    await run(app, join(root, "node_modules/.bin/tsc"), "-p", `own.${name}`);
  });

  test("has types that an app without a browser's library can use", async () => {
    const compilerOptions = {
      target: "es2022",
      lib: ["es2022"],
      module: "node16",
      moduleResolution: "node16",
      strict: true,
      noEmit: true,
      types: ["node"],
    };
    await Bun.write(join(app, "own.ts"), `export * from "@wakeline/client";`);
    await Bun.write(join(app, "tsconfig.node.json"), JSON.stringify({ compilerOptions, files: ["own.ts"] }));
    await run(app, join(root, "node_modules/.bin/tsc"), "-p", "tsconfig.node.json");
  });
});
