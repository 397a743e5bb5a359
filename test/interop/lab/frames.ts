/** One SIP message as it crossed a phone's WebSocket. */
export interface Frame {
  readonly direction: "in" | "out";
  readonly text: string;
}

/** Bun's WebSocket can end like a cable that is pulled. */
interface BunSocket extends WebSocket {
  terminate(): void;
}

interface Tap {
  readonly url: string;
  readonly frames: Frame[];
  readonly socket: WebSocket;
  isOpen: boolean;
}

const taps: Tap[] = [];
let isInstalled = false;

/**
 * From now on every WebSocket of this process notes what crosses it. The stacks under test take the global WebSocket, as in a browser, so
 * their own code stays as published.
 */
export function tapWebSockets(): void {
  if (isInstalled) return;
  isInstalled = true;
  const Plain = globalThis.WebSocket;
  class TappedWebSocket extends Plain {
    readonly #tap: Tap;

    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      this.#tap = { url: String(url), frames: [], socket: this, isOpen: false };
      taps.push(this.#tap);
      this.addEventListener("open", () => {
        this.#tap.isOpen = true;
      });
      this.addEventListener("message", (event) => {
        this.#tap.frames.push({ direction: "in", text: textOf((event as MessageEvent<unknown>).data) });
      });
    }

    override send(data: string | BufferSource | Blob): void {
      this.#tap.frames.push({ direction: "out", text: textOf(data) });
      super.send(data);
    }
  }
  globalThis.WebSocket = TappedWebSocket;
}

/** What crossed the sockets to this URL, oldest first. */
export function framesOf(url: string): readonly Frame[] {
  return taps.filter((tap) => tap.url === url).flatMap(({ frames }) => frames);
}

/** How many sockets to this URL have opened so far. */
export function socketsOf(url: string): number {
  return taps.filter((tap) => tap.url === url && tap.isOpen).length;
}

/** The network goes away: the sockets to this URL end without a word of SIP and without a WebSocket close. */
export function dropSockets(url: string): void {
  for (const { socket } of taps.filter((tap) => tap.url === url)) (socket as BunSocket).terminate();
}

/** The value of a header in a message, undefined when there is none. */
export function headerOf(text: string, name: string): string | undefined {
  return new RegExp(`^${name}\\s*:\\s*(.*?)\\s*$`, "im").exec(text.split("\r\n\r\n")[0] ?? "")?.[1];
}

function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer) return Buffer.from(data).toString("latin1");
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1");
  return "";
}
