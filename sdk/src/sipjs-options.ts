/** The part of SIP.js' `UserAgentOptions` that makes it use a tunnel. */
export interface SipJsTunnelOptions {
  readonly transportOptions: {
    readonly server: string;
    /** Seconds. */
    readonly connectionTimeout: number;
    /** Seconds between CRLF keep-alives; Wakeline closes a tunnel that is silent for 60 s. */
    readonly keepAliveInterval: number;
  };
}

/** SIP.js brings its own WebSocket transport; spread this into the options of its `UserAgent`. */
export function sipJsOptions(url: string): SipJsTunnelOptions {
  return { transportOptions: { server: url, connectionTimeout: 10, keepAliveInterval: 25 } };
}
