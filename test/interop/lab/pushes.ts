import { until } from "./wait.ts";

/** What a phone receives of a push (interface: Push). */
export interface Push {
  readonly v: 1;
  readonly id: string;
  readonly kind: "call" | "cancel" | "message" | "voicemail" | "missed" | "refused" | "lease" | "test";
  readonly subscription: string;
  readonly sentAt: string;
  readonly call?: string;
  readonly callId?: string;
  readonly from?: { readonly uri: string; readonly name?: string };
  readonly tunnel?: string;
  readonly deadline?: string;
  readonly text?: string;
}

export interface Delivered {
  /** The push token of the device. */
  readonly token: string;
  readonly payload: Push;
}

/** The operator's push relay: what Wakeline posts for a device waits here for its phone. */
export class PushRelay {
  readonly #server: ReturnType<typeof Bun.serve>;
  readonly #delivered: Delivered[] = [];
  readonly #taken = new Set<Delivered>();
  readonly #dead = new Set<string>();
  readonly #busyFor = new Set<string>();

  constructor() {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: async (request) => {
        const delivered = (await request.json()) as Delivered;
        if (this.#dead.has(delivered.token)) return new Response(null, { status: 410 });
        if (this.#busyFor.delete(delivered.token)) {
          return new Response(null, { status: 503, headers: { "retry-after": "1" } });
        }
        this.#delivered.push(delivered);
        return new Response(null, { status: 204 });
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/push`;
  }

  /** From now on this token is of an app that was removed: 410. */
  declareDead(token: string): void {
    this.#dead.add(token);
  }

  /** The next push for this token is answered by 503 with Retry-After. */
  refuseOnce(token: string): void {
    this.#busyFor.add(token);
  }

  /** Every push for the token so far, oldest first. */
  all(token: string, kind?: Push["kind"]): readonly Push[] {
    return this.#delivered
      .filter((one) => one.token === token && (kind === undefined || one.payload.kind === kind))
      .map(({ payload }) => payload);
  }

  /** The oldest push of that kind not taken yet; waits for it. */
  next(token: string, kind: Push["kind"]): Promise<Push> {
    return until(
      `push ${kind} for ${token}`,
      () => {
        const found = this.#delivered.find(
          (one) => one.token === token && one.payload.kind === kind && !this.#taken.has(one),
        );
        if (found !== undefined) this.#taken.add(found);
        return found?.payload;
      },
      {
        detail: () =>
          `pushes so far: ${JSON.stringify(this.#delivered.map(({ token, payload }) => [token, payload.kind]))}`,
      },
    );
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }
}
