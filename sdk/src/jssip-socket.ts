import { Tunnel } from "./tunnel.ts";
import { tunnelPlace } from "./web-socket.ts";

/** The shape of JsSIP's `Socket` (its `sockets` option takes such objects). */
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

/**
 * A tunnel as JsSIP's Socket; give a `Tunnel` to watch its state or to tell it that the network has changed. JsSIP hears of a loss only when
 * the tunnel does not come back: it would drop a call that rings. After that JsSIP opens it again by itself, as it does any socket; but not
 * when another tunnel of the device has taken over, for the two would take it from each other for ever: `ua.stop()` and `ua.start()` then do.
 */
export function jsSipSocket(target: string | Tunnel): JsSipSocket {
  const tunnel = typeof target === "string" ? new Tunnel({ url: target }) : target;
  const { host, isSecure } = tunnelPlace(tunnel.url);
  const self: JsSipSocket = {
    url: tunnel.url,
    sip_uri: `sip:${host};transport=ws`,
    via_transport: isSecure ? "WSS" : "WS",
    onconnect: () => {},
    ondisconnect: () => {},
    ondata: () => {},
    connect() {
      if (tunnel.isTaken) {
        void Promise.resolve().then(() => self.ondisconnect(true));
        return;
      }
      tunnel.onMessage = (text) => self.ondata(text);
      tunnel.open();
    },
    disconnect: () => tunnel.close(),
    send: (message) => tunnel.send(message as string),
    isConnected: () => tunnel.state.kind === "open" || tunnel.state.kind === "resuming",
    isConnecting: () => tunnel.state.kind === "opening",
  };
  tunnel.onState((state) => {
    if (state.kind === "open" && !state.resumed) self.onconnect();
    if (state.kind === "closed") self.ondisconnect(state.why !== "asked", state.code, state.why);
  });
  return self;
}
