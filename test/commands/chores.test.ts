import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { runAccounts } from "../../src/commands/accounts.ts";
import { runBackup } from "../../src/commands/backup.ts";
import { runKeysRotate } from "../../src/commands/keys.ts";
import { folder, heard, type Folder } from "./fixtures.ts";

const ids = Array.from({ length: 450 }, (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`);
const accounts = ids.map((id, n) => ({
  id,
  app: n === 449 ? "com.example.other" : "com.example.phone",
  username: n === 449 ? "u7" : `u${n}`,
  domain: "sip.example.com",
  registration: { state: "registered" },
  devices: n === 0 ? 1 : 2,
}));

const rungs = [
  { at: "2026-11-24T12:00:00.000Z", from: "server", to: "wakeline", label: "INVITE", text: "INVITE sip:a SIP/2.0" },
  { at: "2026-11-24T12:00:01.250Z", from: "device", to: "wakeline", device: "d", label: "200 OK", detail: "INVITE" },
];

/** The operator listener as the edge has it, as far as the chores go. */
function operator(token?: string) {
  const calls: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const url = new URL(request.url);
      const body = request.method === "POST" ? await request.text() : "";
      calls.push(`${request.method} ${url.pathname} ${body}`.trim());
      if (token !== undefined && request.headers.get("authorization") !== `Bearer ${token}`)
        return Response.json({ title: "no" }, { status: 401 });
      const id = url.pathname.slice("/operator/v1/accounts/".length);
      if (url.pathname === "/operator/v1/keys/rotate") return Response.json({ secrets: 450 });
      if (url.pathname === "/operator/v1/backup") {
        return body.includes("full")
          ? Response.json({ status: 409, code: "backupFailed", detail: "disk full" }, { status: 409 })
          : Response.json({ file: "x" }, { status: 201 });
      }
      if (url.pathname === "/operator/v1/accounts") {
        const [after, q, limit] = [
          url.searchParams.get("after") ?? "",
          url.searchParams.get("q") ?? "",
          Number(url.searchParams.get("limit")),
        ];
        return Response.json(accounts.filter((one) => one.id > after && one.username.includes(q)).slice(0, limit));
      }
      if (url.pathname === `/operator/v1/trace/${ids[0]}`) return Response.json(rungs);
      if (url.pathname === "/operator/v1/trace")
        return Response.json({ until: "2026-11-24T12:01:00.000Z" }, { status: 202 });
      const found = accounts.find((one) => one.id === id);
      if (found === undefined) return Response.json({ title: "Not found" }, { status: 404 });
      return request.method === "DELETE" ? new Response(null, { status: 204 }) : Response.json(found);
    },
  });
  return { calls, port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}

function config(place: Folder, port: number, token?: string): string {
  return place.write(
    "wakeline.toml",
    `[operator]\nlisten = "127.0.0.1:${port}"\n${token === undefined ? "" : `token = "${token}"\n`}`,
  );
}

describe("chores on the running server", () => {
  test("keys rotate says how many secrets", async () => {
    using place = folder();
    using server = operator("t");
    const io = heard();
    expect(await runKeysRotate({ config: config(place, server.port, "t") }, io, {})).toBe(0);
    expect(io.outs).toEqual(["450 secrets sealed under a new key; the old key is gone"]);
    expect(server.calls).toEqual(["POST /operator/v1/keys/rotate"]);
  });

  test("backup sends an absolute path, names the master key, and passes on why not", async () => {
    using place = folder();
    using server = operator();
    const io = heard();
    const file = join(place.path, "copy.db");
    expect(await runBackup({ config: config(place, server.port), file }, io, {})).toBe(0);
    expect(server.calls).toEqual([`POST /operator/v1/backup ${JSON.stringify({ file })}`]);
    expect(io.outs.join()).toContain(join(place.path, "data", "master.key"));
    expect(await runBackup({ config: config(place, server.port), file: "full.db" }, io, {})).toBe(1);
    expect(server.calls.at(-1)).toContain(JSON.stringify(join(process.cwd(), "full.db")));
    expect(io.errs).toEqual(["backup: disk full"]);
    expect(await runBackup({ config: config(place, server.port), file: place.write("old.db", "") }, io, {})).toBe(1);
    expect(server.calls).toHaveLength(2);
  });

  test("an account's trace is drawn; minutes of 0 begin none", async () => {
    using place = folder();
    using server = operator();
    const io = heard();
    const args = { config: config(place, server.port), action: "trace", account: ids[0] } as const;
    expect(await runAccounts({ ...args, trace: { minutes: 0, messages: true } }, io, {})).toBe(0);
    expect(io.outs).toEqual([
      "              Server                    Wakeline                  Device d",
      "      0.0 ms  │──────── INVITE ────────▶│                         │",
      "                INVITE sip:a SIP/2.0",
      "   1250.0 ms  │                         │◀──────── 200 OK ────────│  INVITE",
    ]);
    expect(server.calls).toEqual([`GET /operator/v1/trace/${ids[0]}`]);
  });

  test("a trace that begins now shows only what comes", async () => {
    using place = folder();
    using server = operator();
    const io = heard();
    const args = { config: config(place, server.port), action: "trace", account: ids[0] } as const;
    expect(await runAccounts({ ...args, trace: { minutes: 0.001, messages: false } }, io, {})).toBe(0);
    expect(io.outs).toEqual([]);
    expect(server.calls).toContain(`POST /operator/v1/trace {"account":"${ids[0]}","minutes":0.001}`);
  });

  test("accounts are listed page by page, or those that match", async () => {
    using place = folder();
    using server = operator();
    const file = config(place, server.port);
    const io = heard();
    expect(await runAccounts({ config: file, action: "list" }, io, {})).toBe(0);
    expect(io.outs).toHaveLength(450);
    expect(io.outs[0]).toMatch(/^00000000-\S+ {2}u0@sip\.example\.com +registered +1 device +com\.example\.phone$/);
    const some = heard();
    await runAccounts({ config: file, action: "list", account: "u44", json: true }, some, {});
    expect(some.outs.map((line) => JSON.parse(line).username)).toEqual([
      "u44",
      "u440",
      "u441",
      "u442",
      "u443",
      "u444",
      "u445",
      "u446",
      "u447",
      "u448",
    ]);
    const none = heard();
    await runAccounts({ config: file, action: "list", account: "nobody" }, none, {});
    expect(none.outs).toEqual(["no accounts"]);
  });

  test("an account is shown and removed by id or address", async () => {
    using place = folder();
    using server = operator();
    const file = config(place, server.port);
    const io = heard();
    expect(await runAccounts({ config: file, action: "show", account: ids[5] }, io, {})).toBe(0);
    expect(JSON.parse(io.outs.join("\n"))).toMatchObject({ username: "u5" });
    expect(await runAccounts({ config: file, action: "remove", account: "u6@SIP.example.com" }, io, {})).toBe(0);
    expect(server.calls.at(-1)).toBe(`DELETE /operator/v1/accounts/${ids[6]}`);
    for (const [account, words] of [
      ["u7@sip.example.com", `several apps have u7@sip.example.com: name one by its id (${ids[7]}, ${ids[449]})`],
      ["u8@other.example.com", "there is no account u8@other.example.com"],
      ["00000000-0000-4000-8000-999999999999", "there is no account 00000000-0000-4000-8000-999999999999"],
    ] as const) {
      const failed = heard();
      expect(await runAccounts({ config: file, action: "remove", account }, failed, {})).toBe(1);
      expect(failed.errs).toEqual([`accounts remove: ${words}`]);
    }
    const unnamed = heard();
    expect(await runAccounts({ config: file, action: "show" }, unnamed, {})).toBe(2);
  });
});

test("a chore needs no variable but the operator's own", async () => {
  using place = folder();
  using server = operator("t");
  const file = place.write(
    "wakeline.toml",
    `[operator]\nlisten = "127.0.0.1:${server.port}"\ntoken = "env:TOKEN"\n[[apps]]\nid = "a"\nkey = "env:APP_KEY"\nwebhook = { url = "http://127.0.0.1:7000/", secret = "env:HOOK" }\n`,
  );
  expect(await runKeysRotate({ config: file }, heard(), { TOKEN: "t" })).toBe(0);
  const io = heard();
  expect(await runKeysRotate({ config: file }, io, {})).toBe(2);
  expect(io.errs).toEqual([expect.stringContaining("names the environment variable TOKEN, which is not set")]);
});

describe("a chore that cannot be done says why in one line", () => {
  test("nothing listens", async () => {
    using place = folder();
    const free = operator();
    free[Symbol.dispose]();
    const io = heard();
    expect(await runKeysRotate({ config: config(place, free.port) }, io, {})).toBe(1);
    expect(io.errs).toEqual([
      `keys rotate: nothing listens on 127.0.0.1:${free.port}: is the server running, and with this configuration (operator.listen)?`,
    ]);
  });

  test("wrong token", async () => {
    using place = folder();
    using server = operator("right");
    const io = heard();
    expect(await runAccounts({ config: config(place, server.port, "wrong"), action: "list" }, io, {})).toBe(1);
    expect(io.errs).toEqual([expect.stringMatching(/^accounts list: the server on .+ refuses the token/)]);
    expect(io.errs.join()).not.toContain("wrong");
  });

  test("faulty configuration: exit code 2, all faults", async () => {
    using place = folder();
    const io = heard();
    expect(await runBackup({ config: place.write("w.toml", "a_b = 1\nc_d = 2"), file: "x" }, io, {})).toBe(2);
    expect(io.errs).toHaveLength(2);
  });
});
