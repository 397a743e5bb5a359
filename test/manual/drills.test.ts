import { describe, expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempFolder } from "../interop/lab/program.ts";
import { until } from "../interop/lab/wait.ts";
import { Post, repository } from "./post.ts";

/** This program with another version, elsewhere: what an upgrade puts in its place. */
function otherVersion(): { readonly command: readonly string[]; remove(): void } {
  const folder = tempFolder("upgrade");
  for (const name of ["src", "sdk"]) cpSync(join(repository, name), join(folder.path, name), { recursive: true });
  symlinkSync(join(repository, "node_modules"), join(folder.path, "node_modules"));
  const manifest = readFileSync(join(repository, "package.json"), "utf8");
  writeFileSync(join(folder.path, "package.json"), manifest.replace(/"version": "[^"]+"/, '"version": "99.0.0"'));
  return { command: [process.execPath, join(folder.path, "src/main.ts")], remove: () => folder.remove() };
}

/** Several starts of a server, on a machine that has other things to do. */
const drillMsMax = 60_000;

describe("drills of docs/operations.md", () => {
  test(
    "upgrade: another program on the same data folder sends no REGISTER, and calls get through",
    async () => {
      await using post = await Post.open();
      await post.starts();
      await post.sleeper("anna");
      const sent = post.provider.registers.length;
      expect(await post.ends("SIGTERM")).toBe(0);

      const next = otherVersion();
      try {
        expect(Bun.spawnSync([...next.command, "--version"]).stdout.toString()).toBe("99.0.0\n");
        await post.starts(next.command);
        post.provider.sends("INVITE", "anna", { body: "v=0\r\n" });
        await post.push("call");
        expect(post.provider.registers).toHaveLength(sent);
      } finally {
        await post.ends("SIGKILL");
        next.remove();
      }
    },
    drillMsMax,
  );

  test(
    "another sip.port: every account is registered with its new Contact, and the old one is withdrawn",
    async () => {
      await using post = await Post.open();
      await post.starts();
      await post.sleeper("dora");
      const contact = post.provider.registers.at(-1)?.get("Contact") ?? "";
      const port = /:(\d+);/.exec(contact)?.[1] ?? "";
      await post.ends("SIGTERM");
      post.configures((toml) =>
        toml.replace(/port = (\d+)\nshards/, (_, first) => `port = ${Number(first) + 2}\nshards`),
      );
      await post.starts();
      const moved = await until("the account is registered anew", () =>
        post.provider.registers.find((register) => register.get("Contact").includes("expires=0")),
      );
      expect(moved.get("Contact")).toContain(`:${Number(port) + 2};`);
      expect(moved.get("Contact")).toMatch(new RegExp(`:${port};[^,]*>;expires=0$`));
    },
    drillMsMax,
  );

  test(
    "restore: a lost data folder comes back from backup and master key, and everything registers anew",
    async () => {
      await using post = await Post.open();
      await post.starts();
      const subscription = await post.sleeper("berta");
      const backup = await post.runs("backup", "backup.db");
      expect(backup).toMatchObject({ code: 0, err: "" });
      const running = await post.runs("restore", "backup.db", "--force");
      expect(running.code).toBe(1);
      expect(running.err).toMatch(/^restore: another Wakeline is running on .+\n$/);
      await post.ends("SIGKILL");
      rmSync(join(post.folder, "data"), { recursive: true });
      const sent = post.provider.registersOf("berta").length;

      const restored = await post.runs("restore", "backup.db");
      expect(restored).toMatchObject({ code: 0, err: "" });
      expect(restored.out).toContain("holds 1 account and 1 device again");
      await post.starts();
      await post.registered(subscription);
      expect(post.provider.registersOf("berta").length).toBeGreaterThan(sent);
      post.provider.sends("INVITE", "berta", { body: "v=0\r\n" });
      await post.push("call");
    },
    drillMsMax,
  );

  test(
    "a new master key: the server goes on under it, and old backups open with the old one",
    async () => {
      await using post = await Post.open();
      await post.starts();
      const subscription = await post.sleeper("carla");
      await post.runs("backup", "backup.db");
      expect(await post.runs("keys", "rotate", "--master")).toMatchObject({
        code: 1,
        err: expect.stringContaining("another Wakeline is running"),
      });
      await post.ends("SIGTERM");
      expect(await post.runs("keys", "rotate", "--master")).toMatchObject({ code: 0, err: "" });
      await post.starts();
      await post.registered(subscription);
      await post.ends("SIGTERM");

      const key = join(post.folder, "keys/master.key");
      expect(await post.runs("restore", "backup.db", "--force")).toMatchObject({
        code: 1,
        err: expect.stringContaining("the master key is not the one"),
      });
      cpSync(`${key}.previous`, key);
      expect(await post.runs("restore", "backup.db", "--force")).toMatchObject({ code: 0 });
      expect(existsSync(`${key}.previous`)).toBe(true);
    },
    drillMsMax,
  );
});
