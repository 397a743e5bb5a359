import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { claimPorts } from "./claim-ports.ts";
import { domain, passwordOf } from "./kamailio.ts";
import { requireProgram, startProgram, tempFolder } from "./program.ts";
import { until } from "./wait.ts";

const libraries = "/usr/lib/x86_64-linux-gnu";

export interface Ejabberd {
  /** `127.0.0.1:port`. */
  readonly proxy: string;
  stop(): Promise<void>;
}

/** Starts Debian's ejabberd as SIP registrar and proxy (mod_sip) for `lab.test`, with these users. */
export async function startEjabberd(users: readonly string[]): Promise<Ejabberd> {
  const erlang = requireProgram("/usr/bin/erl", "ejabberd");
  requireProgram("/usr/sbin/ejabberdctl", "ejabberd");
  const beams = readdirSync(libraries).find((name) => /^ejabberd-[\d.]+$/.test(name));
  if (beams === undefined || !readdirSync("/usr/lib/erlang/lib").some((name) => name.startsWith("p1_sip-"))) {
    throw new Error("ejabberd's SIP is missing: apt-get install ejabberd erlang-p1-sip");
  }
  const folder = tempFolder("ejabberd");
  const port = await claimPorts();
  const config = join(folder.path, "ejabberd.yml");
  writeFileSync(
    config,
    `hosts: [${domain}]
loglevel: info
listen:
  - { port: ${port}, ip: "127.0.0.1", transport: udp, module: ejabberd_sip }
  - { port: ${port}, ip: "127.0.0.1", module: ejabberd_sip }
auth_method: internal
auth_password_format: plain
acl: { local: { user_regexp: "" } }
access_rules: { local: { allow: local } }
modules:
  mod_sip:
    always_record_route: true
    record_route: "sip:127.0.0.1:${port};lr"
    routes: ["sip:127.0.0.1:${port};lr"]
    via:
      - { type: udp, host: 127.0.0.1, port: ${port} }
      - { type: tcp, host: 127.0.0.1, port: ${port} }
`,
  );
  const registering = users
    .map((user) => `ejabberd_auth:try_register(<<"${user}">>, <<"${domain}">>, <<"${passwordOf(user)}">>)`)
    .join(", ");
  const flags = ["-noinput", "-pa", join(libraries, beams, "ebin"), "-mnesia", "dir", `"${folder.path}/spool"`];
  const script = `application:ensure_all_started(ejabberd), ${registering}, io:format("users ~p~n", [ejabberd_auth:count_users(<<"${domain}">>)]).`;
  const program = startProgram([erlang, ...flags, "-eval", script], {
    cwd: folder.path,
    env: {
      EJABBERD_CONFIG_PATH: config,
      EJABBERD_LOG_PATH: join(folder.path, "ejabberd.log"),
      HOME: folder.path,
    },
  });
  const tail = (): string => program.lines.slice(-20).join("\n");
  const isUp = (): boolean =>
    program.lines.some((line) => line.includes("Start accepting UDP")) &&
    program.lines.includes(`users ${users.length}`);
  await until(
    "ejabberd is up",
    () => {
      if (!program.isRunning()) throw new Error(`ejabberd ended:\n${tail()}`);
      return isUp();
    },
    { msMax: 30_000, detail: tail },
  );
  return {
    proxy: `127.0.0.1:${port}`,
    async stop() {
      await program.end();
      folder.remove();
    },
  };
}
