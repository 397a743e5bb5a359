/** What this package needs of a WebSocket: a browser's, React Native's, Bun's and Node's fit, and so does the `ws` package. */
export interface TunnelSocket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(): void;
}

export type TunnelSocketClass = new (url: string, protocol: string) => TunnelSocket;

/** Host and scheme of a tunnel's URL. Without `URL`, which React Native has in parts only. Throws on what is no WebSocket URL. */
export function tunnelPlace(url: string): { readonly host: string; readonly isSecure: boolean } {
  const match = /^(wss?):\/\/([^/?#@\s]+)/i.exec(url);
  if (match === null) throw new TypeError("a tunnel's URL begins with wss:// or ws://");
  return { host: match[2] ?? "", isSecure: match[1]?.toLowerCase() === "wss" };
}

/** The SIP text of a frame. Wakeline sends binary only where the bytes are no UTF-8: then one character a byte. */
export function textOfFrame(data: unknown): string {
  if (typeof data === "string") return data;
  if (!(data instanceof ArrayBuffer)) return "";
  let text = "";
  for (const byte of new Uint8Array(data)) text += String.fromCharCode(byte);
  return text;
}
