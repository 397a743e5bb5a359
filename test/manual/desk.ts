import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../src/commands/free-ports.ts";
import { tempFolder } from "../interop/lab/program.ts";
import { repository } from "./post.ts";

const scriptMsMax = 60_000;

/** What the manual calls by name and a test must not do to the machine it runs on. */
const shims: Readonly<Record<string, string>> = {
  // The load tool starts a server of its own, which must not take this one's place.
  wakeline: `case "$1 $2" in "serve "*|"demo --page") exec trial "$@" ;; "bench "*) unset \${!WAKELINE_*} ;; esac
exec "$BUN" "$REPOSITORY/src/main.ts" "$@"`,
  // A server in the foreground: until it is ready, then asked to end.
  trial: `log=$(mktemp -p "$DESK"); test "$1" = demo && sign=http:// || sign=^ready
"$BUN" "$REPOSITORY/src/main.ts" "$@" $(test "$1" = demo && echo --port 0) >"$log" 2>&1 & pid=$!
until grep -q "$sign" "$log"; do kill -0 $pid || { cat "$log" >&2; exit 1; }; sleep 0.05; done
kill -TERM $pid; wait $pid || test "$1" = demo # which may be asked before it listens`,
  bun: `case "$*" in "run start") exec trial serve ;; "run demo") exec trial demo --page ;; esac
exec "$BUN" "$@"`,
  npx: `test "$1" = -y && test "$2" = "bun@$BUN_VERSION" || { echo "npx $*: only bun $BUN_VERSION is here" >&2; exit 1; }
shift 2; exec bun "$@"`,
  // As that user: here the test's own.
  runuser: `test "$1" = -u && test "$3" = -- && shift 3; exec "$@"`,
  curl: 'exec "$BUN" "$REPOSITORY/test/manual/curl.ts" "$@"',
  useradd: ":",
  chown: ":",
  // The unit: one server on /etc/wakeline, or on the folder at hand.
  systemctl: `stop() { pid=$(cat "$DESK/pid" 2>/dev/null) || return 0; kill -TERM "$pid" 2>/dev/null; while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; rm -f "$DESK/pid"; }
start() {
  : >"$DESK/server.log" # an earlier server's "ready" is in it
  config="$DESK/etc/wakeline/wakeline.toml"; test -e "$config" || config="$DESK/wakeline.toml"
  ( set +e; cd "$(dirname "$config")"; exec setsid "$BUN" "$REPOSITORY/src/main.ts" serve --config "$config" ) >"$DESK/server.log" 2>&1 & echo $! >"$DESK/pid"
  until grep -q '^ready' "$DESK/server.log"; do kill -0 "$(cat "$DESK/pid")" || { cat "$DESK/server.log" >&2; exit 1; }; sleep 0.05; done
}
case "$1" in start) start ;; stop) stop ;; restart) stop; start ;; enable) test "$2" != --now || { stop; start; } ;; reload) kill -HUP "$(cat "$DESK/pid")" ;; esac`,
  journalctl: `cat "$DESK/server.log"`,
};

/** Folders of the system that the manual names. */
const systemFolders = ["/etc/wakeline", "/etc/systemd/system", "/var/lib/wakeline", "/usr/local/bin", "/root"];

/** Desks whose server may run: what is open when a run ends, a failed one say, ends with it. */
const open = new Set<string>();
process.once("exit", () => {
  for (const folder of open) {
    const pid = Number(readIfThere(join(folder, "pid")));
    if (pid > 0) endGroup(pid);
  }
});

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

/**
 * A desk at which one page of the manual is followed from top to bottom: a folder that looks like the repository, commands that
 * stand in for those of the system, folders of the system below it, a server started and stopped as the page says.
 */
export class Desk {
  readonly folder: string;
  readonly #remove: () => void;
  readonly #env: Readonly<Record<string, string>>;
  readonly #replaced: readonly (readonly [RegExp | string, string])[];
  #key = "";

  private constructor(port: number, smaller: readonly (readonly [RegExp, string])[]) {
    const made = tempFolder("manual");
    const { path } = made;
    this.folder = path;
    this.#remove = () => {
      open.delete(path);
      made.remove();
    };
    open.add(path);
    for (const name of [
      "src",
      "sdk",
      "bench",
      "docs",
      "examples",
      "test",
      "node_modules",
      "package.json",
      "tsconfig.json",
    ])
      symlinkSync(join(repository, name), join(path, name));
    for (const folder of ["bin", "dist", ...systemFolders])
      mkdirSync(join(path, folder), { recursive: true, mode: 0o700 });
    for (const [name, body] of Object.entries(shims)) this.#program(`bin/${name}`, body);
    this.#program("dist/wakeline", `exec wakeline "$@"`);
    const url = `http://127.0.0.1:${port}`;
    this.#env = {
      PATH: `${join(path, "bin")}:${process.env.PATH ?? ""}`,
      HOME: path,
      DESK: path,
      REPOSITORY: repository,
      BUN: process.execPath,
      BUN_VERSION: Bun.version,
      WAKELINE_PUBLIC_URL: url,
      WAKELINE_HTTP__LISTEN: `127.0.0.1:${port}`,
      WAKELINE_OPERATOR__LISTEN: `127.0.0.1:${port + 1}`,
      WAKELINE_SIP__LISTEN: "127.0.0.1",
      WAKELINE_SIP__PORT: String(port + 2),
      WAKELINE_SIP__SHARDS: "2",
      WAKELINE_DRAIN_SEC: "0",
    };
    this.#replaced = [
      ...systemFolders.map((folder) => [new RegExp(`(?<![\\w.])${folder}`, "g"), join(path, folder)] as const),
      ["https://push.example.com", url],
      ["http://127.0.0.1:8080", url],
      ["http://127.0.0.1:9090", `http://127.0.0.1:${port + 1}`],
      ["127.0.0.1:5070", `127.0.0.1:${port + 4}`],
      ["--port 5070", `--port ${port + 4}`],
      ...smaller,
    ];
  }

  static async open(smaller: readonly (readonly [RegExp, string])[] = []): Promise<Desk> {
    return new Desk(await freePorts(5), smaller);
  }

  /** Runs a fence as one script that stops at the first command that fails; resolves with what it said, rejects with that when it failed. */
  async follows(script: string): Promise<string> {
    if (/\bwakeline (accounts|keys rotate$|backup)|\bcurl\b/m.test(script)) await this.#serves();
    let text = script.replaceAll("wl_…", this.#key);
    for (const [from, to] of this.#replaced) text = text.replaceAll(from, to);
    const said = await this.#bash(text);
    this.#key = /wl_[\w-]{20,}/.exec(said)?.[0] ?? this.#key;
    return said;
  }

  async leaves(): Promise<void> {
    await this.#bash("systemctl stop");
    this.#remove();
  }

  /** A server for what needs one, if the page has not started it. */
  async #serves(): Promise<void> {
    if (existsSync(join(this.folder, "pid"))) return;
    if (!systemConfigs.some((file) => existsSync(join(this.folder, file)))) {
      this.#key = /wl_[\w-]+/.exec(await this.#bash("wakeline init --yes"))?.[0] ?? "";
    }
    await this.#bash("systemctl start");
  }

  async #bash(script: string): Promise<string> {
    for (const name of ["said", "said.err"]) writeFileSync(join(this.folder, name), "");
    const child = Bun.spawn(["bash", "-euo", "pipefail", "-c", script], {
      cwd: this.folder,
      env: this.#env,
      stdin: "ignore",
      stdout: Bun.file(join(this.folder, "said")),
      stderr: Bun.file(join(this.folder, "said.err")),
      timeout: scriptMsMax,
      detached: true,
    });
    const code = await child.exited;
    endGroup(child.pid);
    const said = ["said", "said.err"].map((name) => readFileSync(join(this.folder, name), "utf8")).join("");
    if (code !== 0) throw new Error(`exit ${code}:\n${script}\n${said}`);
    return said;
  }

  #program(name: string, body: string): void {
    writeFileSync(join(this.folder, name), `#!/bin/bash\n${body}\n`);
    chmodSync(join(this.folder, name), 0o755);
  }
}

/** What a fence leaves running in the background ends with it; the unit's server has a group of its own. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All of it has ended.
  }
}

const systemConfigs = ["etc/wakeline/wakeline.toml", "wakeline.toml"];
