/** The shape of JsSIP's `Socket` (its `sockets` option takes such objects). What arrives is given to `ondata` as text or ArrayBuffer. */
export interface JsSipSocket {
  readonly url: string;
  readonly sip_uri: string;
  via_transport: string;
  connect(): void;
  disconnect(): void;
  send(message: string | ArrayBufferLike | Blob | ArrayBufferView): boolean;
  isConnected(): boolean;
  isConnecting(): boolean;
  onconnect: () => void;
  ondisconnect: (error: boolean, code?: number, reason?: string) => void;
  ondata: (data: unknown) => void;
}

/** JsSIP gives up a socket that does not open; networks of phones take longer than desks'. */
const openMs = 10_000;

/**
 * A tunnel as JsSIP's Socket. JsSIP opens it again by itself when it is lost (`connection_recovery_min_interval`), to the same URL: the ticket
 * stays good as long as the call lives, and what waited meanwhile comes at once after opening.
 */
export function jsSipSocket(url: string, WebSocketClass: typeof WebSocket = WebSocket): JsSipSocket {
  let socket: WebSocket | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const host = new URL(url).host;
  const self: JsSipSocket = {
    url,
    sip_uri: `sip:${host};transport=ws`,
    via_transport: url.startsWith("wss:") ? "WSS" : "WS",
    onconnect: () => {},
    ondisconnect: () => {},
    ondata: () => {},
    connect() {
      if (self.isConnected() || self.isConnecting()) return;
      const opened = new WebSocketClass(url, "sip");
      socket = opened;
      opened.binaryType = "arraybuffer";
      timer = setTimeout(() => opened.close(), openMs);
      opened.addEventListener("open", () => {
        clearTimeout(timer);
        if (socket === opened) self.onconnect();
      });
      opened.addEventListener("message", ({ data }) => {
        if (socket === opened) self.ondata(data);
      });
      opened.addEventListener("close", ({ code, reason, wasClean }) => {
        clearTimeout(timer);
        if (socket !== opened) return;
        socket = undefined;
        self.ondisconnect(!wasClean, code, reason);
      });
      // `close` follows every error.
      opened.addEventListener("error", () => {});
    },
    disconnect() {
      clearTimeout(timer);
      const open = socket;
      socket = undefined;
      open?.close();
    },
    send(message) {
      if (socket === undefined || socket.readyState !== WebSocketClass.OPEN) return false;
      socket.send(message as string);
      return true;
    },
    isConnected: () => socket !== undefined && socket.readyState === WebSocketClass.OPEN,
    isConnecting: () => socket !== undefined && socket.readyState === WebSocketClass.CONNECTING,
  };
  return self;
}
