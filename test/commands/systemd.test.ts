import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NotifySocket } from "../fakes/notify-socket.ts";
import { folder } from "./fixtures.ts";

const root = join(import.meta.dir, "../..");
const toml = `drain_sec = 7
[http]
listen = "127.0.0.1:0"
[operator]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1"
port = 0
shards = 1
`;

describe("a unit of Type=notify, sd_notify(3)", () => {
  for (const kind of ["path", "abstract name"] as const) {
    test(`hears READY, the watchdog's signs of life and STOPPING on a ${kind}`, async () => {
      using place = folder();
      using socket = new NotifySocket(
        kind === "path" ? join(place.path, "notify") : `@wakeline-test-${crypto.randomUUID()}`,
      );
      place.write("wakeline.toml", toml);
      const server = Bun.spawn([process.execPath, join(root, "src/main.ts"), "serve"], {
        cwd: place.path,
        env: { ...process.env, NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: "100000" },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      try {
        expect(await socket.next("READY=1")).toBe("READY=1\nSTATUS=serving 0 accounts on 1 shards");
        for (let n = 0; n < 3; n++) expect(await socket.next("WATCHDOG=1")).toBe("WATCHDOG=1");
        server.kill("SIGTERM");
        expect(await socket.next("STOPPING=1")).toBe("STOPPING=1\nSTATUS=draining, at most 7 s");
        expect(await server.exited).toBe(0);
        expect(socket.heard.filter((message) => !message.startsWith("WATCHDOG"))).toEqual([]);
      } finally {
        server.kill("SIGKILL");
      }
    });
  }
});

describe("docs/deploy/wakeline.service", () => {
  const unit = readFileSync(join(root, "docs/deploy/wakeline.service"), "utf8");
  const value = (key: string): string | undefined => new RegExp(`^${key}=(.*)$`, "m").exec(unit)?.[1];

  test("asks for what serve gives: notify, watchdog, SIGHUP", () => {
    expect(value("Type")).toBe("notify");
    expect(Number(value("WatchdogSec"))).toBeGreaterThan(0);
    expect(value("ExecReload")).toContain("-HUP $MAINPID");
  });

  test("gives the drain of the default configuration time before it kills", () => {
    expect(Number(value("TimeoutStopSec"))).toBeGreaterThan(30);
  });
});
