import { mkdirSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { claimPorts } from "./claim-ports.ts";
import { domain, passwordOf } from "./kamailio.ts";
import { requireProgram, startProgram, tempFolder } from "./program.ts";
import { until } from "./wait.ts";

/** A baresip in the background, told what to do over its control socket. */
export interface Baresip {
  /** Where it takes SIP over UDP, `127.0.0.1:port`. */
  readonly address: string;
  /** Waits until its registrar has taken it. */
  registered(): Promise<void>;
  /** Runs one of its commands, such as `dial` or `hangup`. */
  command(name: string, params?: string): Promise<void>;
  /** Waits for an event of this type, such as CALL_ESTABLISHED. */
  event(type: string): Promise<void>;
  stop(): Promise<void>;
}

interface ControlMessage {
  readonly event?: boolean;
  readonly type?: string;
  readonly response?: boolean;
  readonly ok?: boolean;
  readonly data?: string;
}

/** Starts baresip registered at the lab's Kamailio (or where `at` says), with silence as its microphone and loudspeaker. */
export function startBaresip({
  username,
  proxy,
  at = {},
}: {
  readonly username: string;
  readonly proxy: string;
  readonly at?: { readonly domain?: string; readonly password?: string; readonly transport?: "udp" | "tcp" };
}): Promise<Baresip> {
  const { domain: home = domain, password = passwordOf(username), transport = "udp" } = at;
  return start(
    [
      `<sip:${username}@${home}>;auth_user=${username};auth_pass=${password};outbound="sip:${proxy};transport=${transport}";regint=300;answermode=manual`,
    ],
    ["account", "menu"],
  );
}

/**
 * Starts baresip as a back-to-back user agent between whoever calls it and a proxy: a call that reaches it is called on as a new one, to
 * the same URI and in the caller's name. INFO ends here: a digit goes on as RTP.
 */
export function startB2bua({ proxy }: { readonly proxy: string }): Promise<Baresip> {
  const both = "regint=0;answermode=manual";
  return start(
    [
      `<sip:inbound@b2bua.test>;${both};b2bua=inbound`,
      `<sip:outbound@b2bua.test>;outbound="sip:${proxy};transport=udp";${both};b2bua=outbound`,
    ],
    ["account", "b2bua"],
  );
}

async function start(accounts: readonly string[], applications: readonly string[]): Promise<Baresip> {
  const binary = requireProgram("/usr/bin/baresip", "baresip-core");
  const folder = tempFolder("baresip");
  mkdirSync(folder.path, { recursive: true });
  const [sipPort, controlPort, rtpPort] = [await claimPorts(), await claimPorts(), await claimPorts(20)];
  writeFileSync(
    join(folder.path, "config"),
    `poll_method epoll
sip_listen 127.0.0.1:${sipPort}
net_interface 127.0.0.1
audio_source aubridge,mute
audio_player aubridge,nil
audio_alert aubridge,nil
rtp_ports ${rtpPort}-${rtpPort + 19}
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
${applications.map((name) => `module_app ${name}.so\n`).join("")}module ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:${controlPort}
`,
  );
  writeFileSync(join(folder.path, "accounts"), `${accounts.join("\n")}\n`);
  writeFileSync(join(folder.path, "contacts"), "");
  const program = startProgram([binary, "-f", folder.path, "-v"], { cwd: folder.path });
  const tail = (): string => program.lines.slice(-25).join("\n");
  const control = await until("baresip's control socket", () => open(controlPort), { detail: tail });
  const received: ControlMessage[] = [];
  let rest = Buffer.alloc(0);
  control.on("data", (bytes) => {
    rest = Buffer.concat([rest, Buffer.from(bytes)]);
    for (;;) {
      const text = netstring(rest);
      if (text === undefined) return;
      rest = rest.subarray(String(text.length).length + 2 + text.length);
      received.push(JSON.parse(text.toString("utf8")) as ControlMessage);
    }
  });
  const seen = new Set<ControlMessage>();
  const detail = (): string => `${received.map((one) => JSON.stringify(one)).join("\n")}\n${tail()}`;
  return {
    address: `127.0.0.1:${sipPort}`,
    async command(name, params) {
      const text = JSON.stringify({ command: name, ...(params === undefined ? {} : { params }) });
      control.write(`${Buffer.byteLength(text)}:${text},`);
      const answer = await until(
        `baresip does ${name}`,
        () => received.find((one) => one.response === true && !seen.has(one)),
        { detail },
      );
      seen.add(answer);
      if (answer.ok !== true) throw new Error(`baresip ${name}: ${answer.data ?? ""}\n${tail()}`);
    },
    async registered() {
      // Its event may come before the control socket is open; the line stays.
      await until("baresip registers", () => program.lines.some((line) => /\} 200 OK .*binding/.test(line)), {
        detail,
      });
    },
    async event(type) {
      const found = await until(
        `baresip's ${type}`,
        () => received.find((one) => one.event === true && one.type === type && !seen.has(one)),
        { detail },
      );
      seen.add(found);
    },
    async stop() {
      control.destroy();
      await program.end();
      folder.remove();
    },
  };
}

function open(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

/** The first whole `length:text,` of the bytes. */
function netstring(bytes: Buffer): Buffer | undefined {
  const colon = bytes.indexOf(":");
  if (colon < 0) return undefined;
  const length = Number(bytes.subarray(0, colon).toString("latin1"));
  if (bytes.length < colon + 1 + length + 1) return undefined;
  return bytes.subarray(colon + 1, colon + 1 + length);
}
