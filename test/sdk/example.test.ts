import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { domain, openWorld } from "./world.ts";

test("examples/answer-a-call.ts sleeps, wakes by the push and gets the INVITE", async () => {
  let onPush: (text: string) => void = () => {};
  const world = await openWorld((text) => onPush(text));
  const child = Bun.spawn(
    [process.execPath, fileURLToPath(new URL("../../examples/answer-a-call.ts", import.meta.url))],
    {
      env: {
        ...process.env,
        WAKELINE_SERVER: world.server,
        WAKELINE_APP: world.app,
        WAKELINE_APP_KEY: world.appKey,
        SIP_USER: "alice",
        SIP_DOMAIN: domain,
        SIP_PASSWORD: world.passwords.get("alice"),
        SIP_PROXY: `127.0.0.1:${world.registrar.port}`,
      },
      stdin: "pipe",
      stdout: "pipe",
    },
  );
  onPush = (text) => {
    void child.stdin.write(`${text}\n`);
    void child.stdin.flush();
  };
  try {
    let seen = "";
    for await (const chunk of child.stdout) {
      const before = seen;
      seen += Buffer.from(chunk).toString();
      if (seen.includes("asleep, registered\n") && !before.includes("asleep, registered\n")) world.bob.call("alice");
      if (seen.includes("through the tunnel: INVITE sip:alice@")) break;
    }
    expect(seen).toContain("through the tunnel: INVITE sip:alice@");
  } finally {
    child.kill();
    await child.exited;
    await world.close();
  }
}, 30_000);
