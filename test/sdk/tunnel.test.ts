import { describe, expect, test } from "bun:test";
import { TransportState } from "sip.js";
import { jsSipSocket, sipJsTransport, Tunnel, type TunnelOptions, type TunnelState } from "../../sdk/src/index.ts";

const url = "wss://push.example.com/v1/tunnel?ticket=t";

/** A WebSocket whose far end is the test. */
class FakeSocket {
  binaryType = "blob";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly sent: string[] = [];
  isClosed = false;
  readonly url: string;
  readonly protocol: string;

  constructor(url: string, protocol: string) {
    this.url = url;
    this.protocol = protocol;
    FakeSocket.made.push(this);
  }

  static made: FakeSocket[] = [];

  send(data: string): void {
    this.sent.push(data);
  }

  close(): void {
    this.isClosed = true;
  }

  opens(): void {
    this.onopen?.({} as never);
  }

  says(data: unknown): void {
    this.onmessage?.({ data } as never);
  }

  ends(code: number): void {
    this.onclose?.({ code } as never);
  }
}

/** Time that moves when the test says so. */
class FakeTimers {
  nowMs = 0;
  readonly #due = new Map<number, { readonly atMs: number; readonly run: () => void }>();
  #next = 1;

  set(run: () => void, ms: number): number {
    this.#due.set(this.#next, { atMs: this.nowMs + ms, run });
    return this.#next++;
  }

  clear(timer: unknown): void {
    this.#due.delete(timer as number);
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const [first] = [...this.#due].filter(([, { atMs }]) => atMs <= untilMs).sort(([, a], [, b]) => a.atMs - b.atMs);
      if (first === undefined) break;
      this.#due.delete(first[0]);
      this.nowMs = first[1].atMs;
      first[1].run();
    }
    this.nowMs = untilMs;
  }

  get pending(): number {
    return this.#due.size;
  }
}

/** Why a promise was rejected. */
function reasonOf(work: Promise<void>): Promise<string> {
  return work.then(
    () => "it was not",
    (cause: Error) => cause.message,
  );
}

function open(more: Partial<TunnelOptions> = {}) {
  FakeSocket.made = [];
  const timers = new FakeTimers();
  const tunnel = new Tunnel({ url, webSocket: FakeSocket, timers, random: () => 1, ...more });
  const states: TunnelState[] = [];
  tunnel.onState((state) => states.push(state));
  const last = (): FakeSocket => {
    const socket = FakeSocket.made.at(-1);
    if (socket === undefined) throw new Error("no socket");
    return socket;
  };
  return { tunnel, timers, states, last, made: () => FakeSocket.made };
}

describe("the client's tunnel, RFC 7118", () => {
  test("opens with subprotocol sip and passes messages, keep-alives not (RFC 5626 §3.5.1)", () => {
    const { tunnel, last, states } = open();
    const heard: string[] = [];
    tunnel.onMessage = (text) => heard.push(text);
    expect(tunnel.send("too early")).toBe(false);
    tunnel.open();
    tunnel.open();
    expect([last().url, last().protocol, last().binaryType]).toEqual([url, "sip", "arraybuffer"]);
    expect(tunnel.send("REGISTER")).toBe(true);
    last().opens();
    expect(tunnel.send("OPTIONS")).toBe(true);
    for (const data of ["\r\n", "\r\n\r\n", "", "INVITE", Uint8Array.of(0x49, 0xff).buffer, 7]) last().says(data);
    expect(heard).toEqual(["INVITE", "I\u00ff"]);
    expect(last().sent).toEqual(["REGISTER", "OPTIONS", "\r\n"]);
    expect(states).toEqual([{ kind: "opening" }, { kind: "open", resumed: false }]);
  });

  test("a first opening is tried three times, then told", () => {
    const { tunnel, timers, states, last, made } = open();
    tunnel.open();
    last().ends(1006);
    timers.pass(250);
    timers.pass(10_000);
    timers.pass(500);
    last().ends(1006);
    timers.pass(60_000);
    expect(made()).toHaveLength(3);
    expect(states.at(-1)).toEqual({ kind: "closed", why: "notOpened", code: 1006 });
    expect(timers.pending).toBe(0);
    tunnel.open();
    expect(made()).toHaveLength(4);
  });

  test("a loss is resumed with growing waits, what is sent meanwhile goes out in order, the stack's own URL first", () => {
    const { tunnel, timers, states, last, made } = open({ fallbackUrl: "wss://push.example.com/v1/tunnel?token=d" });
    tunnel.open();
    last().opens();
    timers.pass(5_000);
    last().ends(1006);
    timers.pass(250);
    last().opens();
    timers.pass(4_999);
    last().ends(1006);
    expect([tunnel.send("a"), tunnel.send("b")]).toEqual([true, true]);
    const waits: number[] = [];
    const resumedTwice = made().length;
    for (let attempt = 0; attempt < 7; attempt++) {
      const before = timers.nowMs;
      const count = made().length;
      while (made().length === count) timers.pass(50);
      waits.push(timers.nowMs - before);
      if (attempt < 6) last().ends(1006);
    }
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    const isFallback = made().map((socket) => socket.url.includes("token"));
    expect(isFallback.slice(0, resumedTwice)).toEqual([false, false]);
    expect(isFallback.slice(resumedTwice)).toEqual([false, true, false, true, false, true, false]);
    last().opens();
    expect(last().sent).toEqual(["a", "b"]);
    expect(states.at(-1)).toEqual({ kind: "open", resumed: true });
  });

  test("after a minute it is lost, and what waited is not sent later", () => {
    const { tunnel, timers, last, states } = open();
    tunnel.open();
    last().opens();
    last().ends(1001);
    for (let n = 0; n < 64; n++) expect(tunnel.send(String(n))).toBe(true);
    expect(tunnel.send("one too many")).toBe(false);
    while (timers.nowMs < 59_000) {
      timers.pass(100);
      last().ends(1006);
    }
    expect(tunnel.state.kind).toBe("resuming");
    timers.pass(1_000);
    expect(states.at(-1)).toEqual({ kind: "closed", why: "lost" });
    expect(timers.pending).toBe(0);
    tunnel.open();
    last().opens();
    expect(last().sent).toEqual([]);
  });

  test("a server that lets in and throws out at once is not hammered", () => {
    const { tunnel, timers, last, made } = open();
    tunnel.open();
    for (let n = 0; n < 10; n++) {
      last().opens();
      last().ends(1011);
      const count = made().length;
      while (made().length === count) timers.pass(100);
    }
    expect(timers.nowMs).toBeGreaterThan(30_000);
  });

  test.each([
    [4001, "takenOver"],
    [4003, "deviceRemoved"],
    [1008, "tooManyFrames"],
  ] as const)("close code %i is final: %s", (code, why) => {
    const { tunnel, timers, last, made } = open();
    tunnel.open();
    last().opens();
    last().ends(code);
    timers.pass(120_000);
    expect(tunnel.state).toEqual({ kind: "closed", why, code });
    expect(made()).toHaveLength(1);
  });

  test("a dead path shows: a keep-alive without answer leaves it for a new one, sooner when the network has changed", () => {
    const { tunnel, timers, last, made } = open();
    tunnel.open();
    last().opens();
    timers.pass(25_000);
    expect(last().sent).toEqual(["\r\n\r\n"]);
    last().says("\r\n");
    timers.pass(25_000 + 4_999);
    expect(tunnel.state.kind).toBe("open");
    timers.pass(1);
    expect(tunnel.state.kind).toBe("resuming");
    expect(made()[0]?.isClosed).toBe(true);
    timers.pass(250);
    last().opens();
    made()[0]?.ends(4001);
    expect(tunnel.state).toEqual({ kind: "open", resumed: true });

    tunnel.networkChanged();
    timers.pass(1_500);
    expect(tunnel.state.kind).toBe("resuming");
    const count = made().length;
    tunnel.networkChanged();
    expect(made()).toHaveLength(count + 1);
    last().opens();
    tunnel.networkChanged();
    last().says("INVITE");
    timers.pass(20_000);
    expect(tunnel.state.kind).toBe("open");
  });

  test("closed by the app it stays closed, without a timer left", () => {
    const { tunnel, timers, last, states } = open();
    tunnel.open();
    last().opens();
    tunnel.close();
    last().ends(1000);
    expect([last().isClosed, timers.pending]).toEqual([true, 0]);
    expect(states.map(({ kind }) => kind)).toEqual(["opening", "open", "closed"]);
  });

  test("closed while it is resumed it is not tried again, nor told as lost later", () => {
    const { tunnel, timers, last, states, made } = open();
    tunnel.open();
    last().opens();
    last().ends(1006);
    tunnel.close();
    expect(timers.pending).toBe(0);
    expect([states.at(-1), made().length]).toEqual([{ kind: "closed", why: "asked" }, 1]);
  });

  test("what is no WebSocket URL is told at once", () => {
    expect(() => new Tunnel({ url: "https://push.example.com" })).toThrow(TypeError);
    expect(() => new Tunnel({ url, fallbackUrl: "x" })).toThrow(TypeError);
  });
});

describe("as JsSIP's Socket", () => {
  test("a loss is hidden while it is resumed; the end is told with its code", () => {
    const { tunnel, timers, last } = open();
    const socket = jsSipSocket(tunnel);
    expect([socket.sip_uri, socket.via_transport]).toEqual(["sip:push.example.com;transport=ws", "WSS"]);
    const trail: string[] = [];
    socket.onconnect = () => trail.push("connect");
    socket.ondisconnect = (error, code, reason) => trail.push(`disconnect ${error} ${code} ${reason}`);
    socket.ondata = (data) => trail.push(String(data));
    socket.connect();
    expect([socket.isConnecting(), socket.isConnected()]).toEqual([true, false]);
    last().opens();
    last().ends(1006);
    expect(socket.isConnected()).toBe(true);
    expect(socket.send("BYE")).toBe(true);
    timers.pass(300);
    last().opens();
    last().says("200");
    last().ends(4001);
    expect(socket.isConnected()).toBe(false);
    expect(trail).toEqual(["connect", "200", "disconnect true 4001 takenOver"]);
  });

  test("an end that the app asked for is no error", () => {
    const { tunnel, last } = open();
    const socket = jsSipSocket(tunnel);
    const ends: unknown[] = [];
    socket.ondisconnect = (error) => ends.push(error);
    socket.connect();
    last().opens();
    tunnel.close();
    expect(ends).toEqual([false]);
  });

  test("taken over, it is not opened again by JsSIP's own recovery, only after a stop", async () => {
    const { tunnel, last, made } = open();
    const socket = jsSipSocket(tunnel);
    const ends: unknown[] = [];
    socket.ondisconnect = (...facts) => ends.push(facts);
    socket.connect();
    last().opens();
    last().ends(4001);
    socket.connect();
    await Promise.resolve();
    expect([made().length, ends]).toEqual([1, [[true, 4001, "takenOver"], [true]]]);
    socket.disconnect();
    socket.connect();
    expect(made()).toHaveLength(2);
  });
});

describe("as SIP.js' Transport", () => {
  function transport(more: Partial<TunnelOptions> = {}) {
    const parts = open(more);
    const Transport = sipJsTransport(TransportState, parts.tunnel);
    const made = new Transport();
    const trail: string[] = [];
    made.stateChange.addListener((state) => trail.push(state));
    made.onConnect = () => trail.push("onConnect");
    made.onDisconnect = (error) => trail.push(`onDisconnect ${error?.message ?? ""}`.trim());
    made.onMessage = (message) => trail.push(message);
    return { ...parts, transport: made, trail };
  }

  test("walks its states as SIP.js asks: connect, a hidden loss, the end", async () => {
    const { transport: made, trail, last, timers } = transport();
    expect([made.state, made.protocol]).toEqual([TransportState.Disconnected, "WSS"]);
    const connected = made.connect();
    expect(made.connect()).toBe(connected);
    expect(await reasonOf(made.send("x"))).toContain("not open");
    last().opens();
    await connected;
    last().ends(1006);
    expect(made.isConnected()).toBe(true);
    await made.send("BYE");
    timers.pass(300);
    last().opens();
    last().says("200");
    last().ends(4003);
    expect(trail).toEqual([
      "Connecting",
      "Connected",
      "onConnect",
      "200",
      "Disconnected",
      "onDisconnect the tunnel is closed: deviceRemoved",
    ]);
  });

  test("an opening that fails rejects", async () => {
    const { transport: made, trail, last, timers } = transport();
    const connected = made.connect();
    for (let n = 0; n < 3; n++) {
      last().ends(1006);
      timers.pass(1_000);
    }
    expect(await reasonOf(connected)).toContain("notOpened");
    expect(trail).toEqual(["Connecting", "Disconnected"]);
  });

  test("disconnect passes Disconnecting and tells no error; once means once", async () => {
    const { transport: made, trail, last } = transport();
    made.stateChange.once((state) => trail.push(`once ${state}`));
    const connected = made.connect();
    last().opens();
    await connected;
    const done = made.disconnect();
    expect(made.state).toBe(TransportState.Disconnecting);
    await done;
    await made.disconnect();
    expect(trail).toEqual([
      "Connecting",
      "once Connecting",
      "Connected",
      "onConnect",
      "Disconnecting",
      "onDisconnect",
      "Disconnected",
    ]);
  });

  test("taken over, it is not connected again by SIP.js' own attempts, only after a disconnect", async () => {
    const { transport: made, last, made: sockets } = transport();
    const connected = made.connect();
    last().opens();
    await connected;
    last().ends(4001);
    expect(await reasonOf(made.connect())).toContain("taken over");
    expect([sockets().length, made.state]).toEqual([1, TransportState.Disconnected]);
    await made.disconnect();
    const again = made.connect();
    last().opens();
    await again;
    expect(sockets()).toHaveLength(2);
  });

  test("connect takes a disconnect back, disconnect a connect", async () => {
    const { transport: made, last } = transport();
    const first = made.connect();
    const gone = made.disconnect();
    const second = made.connect();
    expect(await reasonOf(first)).toContain("before it was connected");
    expect(await reasonOf(gone)).toContain("connected again");
    expect(made.state).toBe(TransportState.Connecting);
    last().opens();
    await second;
    expect(made.state).toBe(TransportState.Connected);
  });
});
