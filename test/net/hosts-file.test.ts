import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostsFile, parseHosts } from "../../src/net/hosts-file.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";

describe("names of the system's hosts file", () => {
  test("each address with its names; comments and nonsense are left out", () => {
    const names = parseHosts(
      "127.0.0.1 localhost\n# 1.1.1.1 no\n192.0.2.1\tPBX pbx.lan # office\n::1 localhost pbx\nx y\n300.1.1.1 z\n\n",
    );
    expect(Object.fromEntries(names)).toEqual({
      localhost: ["127.0.0.1", "::1"],
      pbx: ["192.0.2.1", "::1"],
      "pbx.lan": ["192.0.2.1"],
    });
  });

  test("localhost is loopback wherever it is not listed, RFC 6761 §6.3", () => {
    const hosts = new HostsFile(new VirtualClock(), "/nowhere");
    expect(hosts.find("localhost")).toEqual(["127.0.0.1", "::1"]);
    expect(hosts.find("Any.LocalHost.")).toEqual(["127.0.0.1", "::1"]);
    expect(hosts.find("example.com")).toBeUndefined();
  });

  test("a change is seen after a few seconds", () => {
    const folder = mkdtempSync(join(tmpdir(), "wakeline-hosts-"));
    const file = join(folder, "hosts");
    const clock = new VirtualClock();
    writeFileSync(file, "192.0.2.1 pbx\n");
    const hosts = new HostsFile(clock, file);
    expect(hosts.find("pbx")).toEqual(["192.0.2.1"]);
    writeFileSync(file, "192.0.2.2 pbx\n");
    utimesSync(file, new Date(), new Date(Date.now() + 60_000));
    expect(hosts.find("pbx")).toEqual(["192.0.2.1"]);
    clock.advance(5_000);
    expect(hosts.find("PBX")).toEqual(["192.0.2.2"]);
    rmSync(folder, { recursive: true });
  });
});
