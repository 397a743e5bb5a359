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
  tunnel.onMessage = (text) => stack?.write(withUs(text, port));
  return {
    proxy: proxyOf(port),
    close() {
      tunnel.close();
      stack?.destroy();
      server.close();
    },
  };
}

function proxyOf(port: number): string {
  return `sip:127.0.0.1:${port};transport=tcp;lr`;
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
 * Towards the stack: as a proxy on TCP does it. Our Via on top of a request, for a stack sends its answer by what that says and knows no
 * WebSocket; our Record-Route in what makes a dialog, so that the stack's later requests come here too and do not go to the far end by
 * themselves (RFC 3261 §16.6 steps 4 and 8). The nearest proxy stands first in a request and last in an answer (§12.1).
 */
function withUs(message: string, port: number): string {
  const end = message.indexOf("\r\n\r\n");
  const head = message.slice(0, end);
  const recordRoute = `Record-Route: <${proxyOf(port)}>`;
  if (!head.startsWith("SIP/2.0 ")) {
    const branch = /^(?:via|v)\s*:[^\r\n]*?;\s*branch=([^;,\s]+)/im.exec(head)?.[1] ?? "";
    const makesDialog = new RegExp(`^(?:${dialogMakers}) `).test(head) && !/^(?:to|t)\s*:.*;\s*tag=/im.test(head);
    // The same for a request and its CANCEL or ACK, as the branch below is.
    const ours = [`Via: SIP/2.0/TCP 127.0.0.1:${port};branch=${branch}.b`, ...(makesDialog ? [recordRoute] : [])];
    return message.replace("\r\n", `\r\n${ours.join("\r\n")}\r\n`);
  }
  const makesDialog =
    /^SIP\/2\.0 (?:10[1-9]|1[1-9]\d|2\d\d) /.test(head) &&
    new RegExp(`^cseq\\s*:\\s*\\d+\\s+(?:${dialogMakers})\\s*$`, "im").test(head);
  return makesDialog ? `${head}\r\n${recordRoute}${message.slice(end)}` : message;
}

/** Towards Wakeline: without our Via, the Route that led here, and the Record-Route that a stack's answer repeats. */
function withoutUs(message: string, port: number): string {
  const end = message.indexOf("\r\n\r\n");
  const isAnswer = message.startsWith("SIP/2.0 ");
  const route = new RegExp(`<sip:127\\.0\\.0\\.1:${port}\\b[^>]*>[^,]*(?:,\\s*)?`);
  const via = new RegExp(`SIP\\s*/\\s*2\\.0\\s*/\\s*TCP\\s+127\\.0\\.0\\.1:${port}\\b[^,]*(?:,\\s*)?`, "i");
  const lines = message
    .slice(0, end)
    .split("\r\n")
    .flatMap((line) => {
      const [, name, isVia, value] = /^((?:(via|v)|(?:record-)?route)\s*:\s*)(.*)$/i.exec(line) ?? [];
      if (name === undefined || value === undefined || (isVia !== undefined && !isAnswer)) return [line];
      const left = value
        .replace(isVia === undefined ? route : via, "")
        .trim()
        .replace(/,$/, "");
      return left === "" ? [] : [`${name}${left}`];
    });
  return `${lines.join("\r\n")}${message.slice(end)}`;
}

const [, , url] = process.argv;
if (import.meta.main && url !== undefined) {
  const bridge = await openBridge(new Tunnel({ url }));
  console.log(bridge.proxy);
}
