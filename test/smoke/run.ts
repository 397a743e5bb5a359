/**
 * `bun test/smoke/run.ts dist/wakeline`: the first minutes of an operator with the built program, in empty folders: version, help, wrong
 * usage, init, check, serve, one refused request of each kind, documents, page, SIGTERM, demo. Says in words what failed; exit 1 then.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { freePorts } from "../../src/commands/free-ports.ts";
import { type Program, startProgram, tempFolder } from "../interop/lab/program.ts";
import { until } from "../interop/lab/wait.ts";

const [given] = process.argv.slice(2);
if (given === undefined || !existsSync(given)) {
  console.error("usage: bun test/smoke/run.ts PATH_TO_WAKELINE");
  process.exit(2);
}
const binary = resolve(given);
const commandMsMax = 60_000;
/** Loose: a laptop needs a tenth of it, a busy check machine a few. */
const readyMsMax = 1_000;
const failures: string[] = [];
let passed = 0;

function expect(holds: boolean, text: string, detail = ""): void {
  if (holds) passed++;
  else failures.push(detail === "" ? text : `${text}\n    ${detail.trim().split("\n").slice(-12).join("\n    ")}`);
  console.log(`${holds ? "ok  " : "FAIL"} ${text}`);
}

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(cwd: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const child = Bun.spawn([binary, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: commandMsMax,
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

interface Served {
  readonly program: Program;
  readonly url: string;
  readonly operator: string;
  readonly readyMs: number;
}

/** Ports of their own, by environment, so that nothing else on this machine is in the way. */
async function ownPorts(): Promise<{ readonly http: number; readonly env: Readonly<Record<string, string>> }> {
  const [http, sip] = [await freePorts(2), await freePorts(64)];
  return {
    http,
    env: {
      WAKELINE_PUBLIC_URL: `http://127.0.0.1:${http}`,
      WAKELINE_HTTP__LISTEN: `127.0.0.1:${http}`,
      WAKELINE_OPERATOR__LISTEN: `127.0.0.1:${http + 1}`,
      WAKELINE_SIP__PORT: String(sip),
    },
  };
}

async function serve(cwd: string): Promise<Served> {
  const { http, env } = await ownPorts();
  const startedMs = performance.now();
  const program = startProgram([binary, "serve"], { cwd, env });
  const tail = (): string => program.lines.join("\n");
  await until(
    "serve says ready",
    () => {
      if (!program.isRunning()) throw new Error(`serve ended:\n${tail()}`);
      return program.lines.includes("ready");
    },
    { detail: tail },
  );
  return {
    program,
    url: `http://127.0.0.1:${http}`,
    operator: `http://127.0.0.1:${http + 1}`,
    readyMs: performance.now() - startedMs,
  };
}

interface Problem {
  readonly status?: number;
  readonly errors?: readonly unknown[];
}

async function checkCommandLine(folder: string): Promise<void> {
  const version = await run(folder, ["--version"]);
  expect(version.code === 0 && /^\d+\.\d+\.\d+/.test(version.out), "--version prints a version", version.err);
  const help = await run(folder, ["--help"]);
  const commands = ["serve", "init", "check", "demo", "bench", "accounts", "keys", "backup", "restore"];
  const missing = commands.filter((name) => !help.out.includes(name));
  expect(help.code === 0 && missing.length === 0, "--help names every command", `missing: ${missing.join(" ")}`);
  const wrong = await run(folder, ["serve", "--no-such-flag"]);
  expect(wrong.code === 2, "an unknown flag is wrong usage: exit 2", `exit ${wrong.code} ${wrong.err}`);
  expect(wrong.err.trim().split("\n").length === 1, "and one readable line on stderr", wrong.err);
  const unknown = await run(folder, ["no-such-command"]);
  expect(unknown.code === 2, "an unknown command: exit 2", `exit ${unknown.code} ${unknown.err}`);
  const badConfig = await run(folder, ["serve"], { WAKELINE_SIP__PORT: "seventy" });
  expect(
    badConfig.code === 2,
    "a configuration that cannot be used: exit 2",
    `exit ${badConfig.code} ${badConfig.err}`,
  );
}

/** Returns the enrolment key that init printed. */
async function checkInit(folder: string): Promise<string> {
  const first = await run(folder, ["init", "--yes"]);
  expect(first.code === 0, "init --yes exits 0", first.err);
  for (const name of ["wakeline.toml", "data/master.key"]) {
    const path = join(folder, name);
    const mode = existsSync(path) ? statSync(path).mode & 0o777 : -1;
    expect(mode === 0o600, `init wrote ${name} for its owner alone (0600)`, `mode ${mode.toString(8)}`);
  }
  const before = readFileSync(join(folder, "wakeline.toml"), "utf8");
  const second = await run(folder, ["init", "--yes"]);
  expect(second.code !== 0, "a second init refuses", second.out);
  expect(readFileSync(join(folder, "wakeline.toml"), "utf8") === before, "and changes nothing");
  const { env } = await ownPorts();
  const check = await run(folder, ["check"], env);
  expect(check.code === 0, "check finds nothing wrong in what init wrote", check.out + check.err);
  return /wl_[\w-]+/.exec(first.out)?.[0] ?? "";
}

async function checkWithConfig(folder: string, enrolmentKey: string): Promise<void> {
  const { program, url } = await serve(folder);
  const post = (body: unknown): Promise<Response> =>
    fetch(`${url}/v1/devices`, {
      method: "POST",
      headers: { authorization: `Bearer ${enrolmentKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  try {
    const invalid = await post({ app: 7, push: { provider: "pigeon" } });
    const problem = (await invalid.json()) as Problem;
    expect(invalid.status === 422, "an invalid body: 422", `${invalid.status} ${JSON.stringify(problem)}`);
    expect((problem.errors?.length ?? 0) > 0, "with errors[] that name the fields", JSON.stringify(problem));
    expect(
      invalid.headers.get("content-type")?.startsWith("application/problem+json") === true,
      "as application/problem+json",
    );
  } finally {
    const code = await program.end();
    expect(code === 0, "SIGTERM ends it with 0", `exit ${code}\n${program.lines.join("\n")}`);
  }
}

async function checkWithoutConfig(folder: string): Promise<void> {
  const { program, url, operator, readyMs } = await serve(folder);
  try {
    console.log(`     ready after ${Math.round(readyMs)} ms`);
    expect(readyMs < readyMsMax, `serve in an empty folder is ready within ${readyMsMax} ms`, `${readyMs} ms`);
    const ready = await fetch(`${operator}/health/ready`);
    expect(ready.status === 200, "/health/ready: 200", `${ready.status} ${await ready.text()}`);
    const bare = await fetch(`${url}/v1/devices/me`);
    const problem = (await bare.json()) as Problem;
    expect(
      bare.status === 401 && problem.status === 401,
      "without Authorization: 401 and a problem",
      JSON.stringify(problem),
    );
    const openApi = await fetch(`${url}/openapi.json`);
    const document = (await openApi.json()) as { readonly openapi?: string; readonly paths?: object };
    expect(openApi.status === 200 && document.openapi !== undefined, "/openapi.json is an OpenAPI document");
    const paths = Object.keys(document.paths ?? {});
    expect(paths.includes("/v1/devices") && paths.includes("/v1/tunnel"), "and names the calls", paths.join(" "));
    await checkPage(`${url}/docs`, "/docs");
    await checkPage(`${operator}/`, "the operator page");
    const metrics = await (await fetch(`${operator}/metrics`)).text();
    expect(metrics.includes("process_resident_memory_bytes"), "/metrics speaks Prometheus");
    expect((await fetch(`${url}/metrics`)).status === 404, "the public listener shows no metrics");
  } finally {
    const code = await program.end();
    expect(code === 0, "SIGTERM ends it with 0", `exit ${code}\n${program.lines.join("\n")}`);
  }
}

/** An HTML page whose scripts and styles are all on the same server. */
async function checkPage(url: string, name: string): Promise<void> {
  const response = await fetch(url);
  const html = await response.text();
  const isHtml = response.headers.get("content-type")?.includes("text/html") === true;
  expect(response.status === 200 && isHtml, `${name} is HTML`, `${response.status} ${html}`);
  const assets = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, asset = ""]) => asset);
  const foreign = assets.filter((asset) => /^(https?:)?\/\//.test(asset));
  expect(foreign.length === 0, `${name} takes nothing from other hosts`, foreign.join(" "));
  for (const asset of assets.filter((one) => !foreign.includes(one) && !one.startsWith("data:"))) {
    const found = await fetch(new URL(asset, url));
    await found.arrayBuffer();
    expect(found.status === 200, `${name} has its ${asset}`, String(found.status));
  }
}

async function checkDemo(folder: string): Promise<void> {
  const demo = await run(folder, ["demo"]);
  expect(demo.code === 0, "demo tells the whole story: exit 0", demo.out + demo.err);
}

async function step(name: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    expect(false, `${name} could not be gone through`, cause instanceof Error ? cause.message : String(cause));
  }
}

const folders = [tempFolder("smoke"), tempFolder("smoke"), tempFolder("smoke")];
const [inited, empty, demo] = folders.map(({ path }) => path);
if (inited !== undefined && empty !== undefined && demo !== undefined) {
  await step("the command line", () => checkCommandLine(empty));
  let key = "";
  await step("init", async () => {
    key = await checkInit(inited);
  });
  await step("serve with that configuration", () => checkWithConfig(inited, key));
  await step("serve without one", () => checkWithoutConfig(empty));
  await step("demo", () => checkDemo(demo));
}
for (const folder of folders) folder.remove();
console.log(`\n${passed} passed, ${failures.length} failed`);
for (const failure of failures) console.error(`failed: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);
