import type { JsSipSocket } from "../../../sdk/src/index.ts";

/** The same socket, with each message's first line told on its way. */
export function watched(socket: JsSipSocket, tell: (isOut: boolean, startLine: string) => void): JsSipSocket {
  const send = socket.send.bind(socket);
  const note = (isOut: boolean, data: unknown): void => {
    const text = textOf(data);
    if (text.trim() !== "") tell(isOut, text.split("\r\n")[0] ?? "");
  };
  socket.send = (message) => {
    note(true, message);
    return send(message);
  };
  // JsSIP sets `ondata` later; what it sets is called behind ours.
  let onData = socket.ondata;
  Object.defineProperty(socket, "ondata", {
    get: () => (data: unknown) => {
      note(false, data);
      onData(textOf(data));
    },
    set: (handler: typeof onData) => {
      onData = handler;
    },
  });
  return socket;
}

function textOf(data: unknown): string {
  return typeof data === "string" ? data : new TextDecoder().decode(data as ArrayBuffer);
}
