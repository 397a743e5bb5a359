/**
 * Lets a SIP stack that speaks no WebSocket (PJSIP, Linphone, baresip) use a tunnel: to the stack this is its outbound proxy, TCP on loopback;
 * each message goes on as one frame and back (RFC 7118). In an app the same few rules are Swift or Kotlin: docs/guides/pjsip-linphone.md.
 *
 * `bun examples/native-bridge.ts wss://…/v1/tunnel?ticket=…` prints the proxy to put into the stack.
 */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { Tunnel } from "../sdk/src/index.ts"; // in your app: "@wakeline/client"

/** RFC 7118 §5: what a frame may hold. */
const messageBytesMax = 65_536;
const dialogMakers = "INVITE|SUBSCRIBE|REFER";

export interface Bridge {
  /** `sip:127.0.0.1:PORT;transport=tcp;lr`: the stack's outbound proxy. */
  readonly proxy: string;
  close(): void;
}

/** Opens the tunnel once the stack connects, so that no INVITE comes before somebody listens. */
export async function openBridge(tunnel: Tunnel): Promise<Bridge> {
  let stack: Socket | undefined;
  const server = createServer((socket) => {
    stack = socket;
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      rest = Buffer.concat([rest, Buffer.from(bytes)]);
      for (;;) {
        const taken = takeMessage(rest);
        if (taken === undefined) break;
        rest = rest.subarray(taken.bytes);
        // RFC 5626 §3.5.1: the stack's keep-alive ends here, the tunnel has its own.
        if (taken.message === "") socket.write("\r\n");
        else tunnel.send(withoutUs(taken.message, port));
      }
      if (rest.length > messageBytesMax) socket.destroy();
    });
    socket.on("error", () => {});
    tunnel.open();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = `sip:127.0.0.1:${port};transport=tcp;lr`;
  tunnel.onMessage = (text) => stack?.write(withUs(text, proxy));
  return {
    proxy,
    close() {
      tunnel.close();
      stack?.destroy();
      server.close();
    },
  };
}

/** The first whole message of a stream (RFC 3261 §18.3), or a keep-alive as "". */
function takeMessage(bytes: Buffer): { readonly message: string; readonly bytes: number } | undefined {
  if (bytes.subarray(0, 4).toString("latin1") === "\r\n\r\n") return { message: "", bytes: 4 };
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.subarray(0, end).toString("utf8");
  const bodyBytes = Number(/^(?:content-length|l)\s*:\s*(\d{1,6})\s*$/im.exec(head)?.[1] ?? 0);
  const whole = end + 4 + bodyBytes;
  return bytes.length < whole ? undefined : { message: bytes.subarray(0, whole).toString("utf8"), bytes: whole };
}

/**
 * Towards the stack: our Record-Route in what makes a dialog, so that the stack's later requests come here too and do not go to the far end by
 * themselves (RFC 3261 §16.6 step 4). The nearest proxy stands first in a request and last in a response (§12.1).
 */
function withUs(message: string, proxy: string): string {
  const end = message.indexOf("\r\n\r\n");
  const head = message.slice(0, end);
  const line = `Record-Route: <${proxy}>`;
  if (new RegExp(`^(?:${dialogMakers}) `).test(head)) {
    if (/^(?:to|t)\s*:.*;\s*tag=/im.test(head)) return message;
    return message.replace("\r\n", `\r\n${line}\r\n`);
  }
  const makesDialog =
    /^SIP\/2\.0 (?:10[1-9]|1[1-9]\d|2\d\d) /.test(head) &&
    new RegExp(`^cseq\\s*:\\s*\\d+\\s+(?:${dialogMakers})\\s*$`, "im").test(head);
  return makesDialog ? `${head}\r\n${line}${message.slice(end)}` : message;
}

/** Towards Wakeline: without the Route that led here, and without the Record-Route that a stack's answer repeats. */
function withoutUs(message: string, port: number): string {
  const end = message.indexOf("\r\n\r\n");
  const ours = new RegExp(`<sip:127\\.0\\.0\\.1:${port}\\b[^>]*>[^,]*(?:,\\s*)?`);
  const lines = message
    .slice(0, end)
    .split("\r\n")
    .flatMap((line) => {
      const [, name, value] = /^((?:record-)?route\s*:\s*)(.*)$/i.exec(line) ?? [];
      if (name === undefined || value === undefined) return [line];
      const left = value.replace(ours, "").trim().replace(/,$/, "");
      return left === "" ? [] : [`${name}${left}`];
    });
  return `${lines.join("\r\n")}${message.slice(end)}`;
}

const [, , url] = process.argv;
if (import.meta.main && url !== undefined) {
  const bridge = await openBridge(new Tunnel({ url }));
  console.log(bridge.proxy);
}
