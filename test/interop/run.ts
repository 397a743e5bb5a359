/**
 * `bun run interop [name …]`: builds the program, then runs every test/interop/*.interop.ts (or those whose names contain a given word)
 * against Debian's Kamailio, ejabberd, SIPp, baresip and promtool. WAKELINE_BINARY names a program that was built already. Prints bun's own summary of each file; exit 1 on any failure, a missing server among them.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { tempFolder } from "./lab/program.ts";

const root = join(import.meta.dir, "..", "..");
const words = process.argv.slice(2);
const servers = [
  ["/usr/sbin/kamailio", "kamailio kamailio-extra-modules kamailio-tls-modules kamailio-outbound-modules"],
  ["/usr/bin/sipp", "sip-tester"],
  ["/usr/bin/baresip", "baresip-core"],
  ["/usr/sbin/ejabberdctl", "ejabberd erlang-p1-sip"],
  ["/usr/bin/promtool", "prometheus"],
] as const;

const missing = servers.filter(([path]) => !existsSync(path));
for (const [path, packages] of missing) console.error(`${path} is missing: apt-get install ${packages}`);
process.exit(missing.length > 0 ? 1 : await run());

async function run(): Promise<number> {
  const folder = tempFolder("interop");
  try {
    const given = process.env.WAKELINE_BINARY;
    const binary = given ?? join(folder.path, "wakeline");
    if (given === undefined && !(await isBuilt(binary))) {
      console.error("the program does not build");
      return 1;
    }
    const files = readdirSync(import.meta.dir)
      .filter(
        (name) => name.endsWith(".interop.ts") && (words.length === 0 || words.some((word) => name.includes(word))),
      )
      .map((name) => `./test/interop/${name}`);
    if (files.length === 0) {
      console.error("no scenario has such a name");
      return 1;
    }
    // One file after the other, each in a process of its own: the machine has few cores, a scenario's time is mostly waiting, and what one
    // stack leaves behind (JsSIP needs a `window`) is not the next one's.
    let code = 0;
    for (const file of files) {
      const tests = Bun.spawn(["bun", "test", "--timeout", "60000", file], {
        cwd: root,
        env: { ...process.env, WAKELINE_BINARY: binary },
        stdout: "inherit",
        stderr: "inherit",
      });
      code = Math.max(code, await tests.exited);
    }
    return code;
  } finally {
    folder.remove();
  }
}

async function isBuilt(outfile: string): Promise<boolean> {
  const build = Bun.spawn(["bun", "build.ts", "--outfile", outfile], {
    cwd: root,
    stdout: "ignore",
    stderr: "inherit",
  });
  return (await build.exited) === 0;
}
