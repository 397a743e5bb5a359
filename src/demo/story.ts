import { labelOf } from "../base/ladder.ts";
import type { PushPayload } from "../push/types.ts";
import { DemoPhone } from "./phone.ts";
import { DemoRegistrar } from "./registrar.ts";
import { type CallStep, DemoUa, type UaCall } from "./ua.ts";

const stepMsMax = 15_000;

export interface DemoServer {
  readonly publicUrl: string;
  /** The operator's page and API of this server. */
  readonly operatorUrl: string;
  readonly app: string;
  readonly appKey: string;
}

export interface DemoOutcome {
  readonly ok: boolean;
  readonly steps: number;
  readonly failed: string | undefined;
}

/** Who stands on which rail of the ladder. */
type Rail = "phone" | "wakeline" | "registrar" | "caller";

export interface LadderSink {
  /** An arrow between two rails; `detail` as in a rung of `base/ladder.ts`. */
  arrow(from: Rail, to: Rail, label: string, detail?: string): void;
  /** A step of the story that has happened, or the one that did not. */
  step(text: string, ok: boolean): void;
}

interface Webhook {
  readonly url: string;
  /** The next push of this kind, past ones not yet taken included. */
  next(kind: PushPayload["kind"]): Promise<PushPayload>;
  close(): void;
}

/** Stands for the operator's own push relay: takes what Wakeline posts. */
export function openDemoWebhook(onPush: (payload: PushPayload) => void): Webhook {
  const arrived: PushPayload[] = [];
  const waiting: { readonly kind: string; readonly resolve: (payload: PushPayload) => void }[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { payload } = (await request.json()) as { payload: PushPayload };
      onPush(payload);
      const at = waiting.findIndex(({ kind }) => kind === payload.kind);
      if (at >= 0) waiting.splice(at, 1)[0]?.resolve(payload);
      else arrived.push(payload);
      return new Response(null, { status: 204 });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}/push`,
    next: (kind) => {
      const at = arrived.findIndex((payload) => payload.kind === kind);
      const found = at < 0 ? undefined : arrived.splice(at, 1)[0];
      if (found !== undefined) return Promise.resolve(found);
      return new Promise((resolve) => waiting.push({ kind, resolve }));
    },
    close: () => void server.stop(true),
  };
}

/** Rejects when `work` takes longer than a step may. */
async function bounded<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing happened within ${stepMsMax / 1_000} s`)), stepMsMax);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The whole story: subscribe, stand-in registration, call, push, tunnel, answer, hang-up; a call cancelled while the phone sleeps; an
 * outgoing call through the tunnel; foreground; deletion. `startServer` is given the webhook's URL and returns the running server.
 */
export async function tellStory(
  ladder: LadderSink,
  startServer: (webhookUrl: string) => Promise<DemoServer>,
): Promise<DemoOutcome> {
  const domain = "demo.example";
  const closers: (() => void)[] = [];
  let steps = 0;
  let current = "start";
  const done = (text: string): void => {
    steps++;
    ladder.step(text, true);
  };
  const must = (holds: boolean, text: string): void => {
    if (!holds) throw new Error(text);
  };
  try {
    const webhook = openDemoWebhook((payload) => ladder.arrow("wakeline", "phone", `push ${payload.kind}`));
    closers.push(() => webhook.close());
    const passwords = new Map([
      ["alice", crypto.randomUUID()],
      ["bob", crypto.randomUUID()],
    ]);
    let callerPort = 0;
    const registrar = await DemoRegistrar.open({
      host: "127.0.0.1",
      port: 0,
      domain,
      passwords,
      onMessage: ({ direction, peer, firstLine, cseq }) => {
        const other: Rail = peer === `127.0.0.1:${callerPort}` ? "caller" : "wakeline";
        ladder.arrow(
          direction === "in" ? other : "registrar",
          direction === "in" ? "registrar" : other,
          ...words(firstLine, cseq),
        );
      },
    });
    closers.push(() => registrar.close());

    const bobCalls: UaCall[] = [];
    const bobSocket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (_socket, bytes) => bob.receive(bytes) },
    });
    closers.push(() => bobSocket.close());
    callerPort = bobSocket.port;
    const bob = new DemoUa({
      user: "bob",
      domain,
      password: passwords.get("bob") ?? "",
      sentBy: () => `UDP 127.0.0.1:${bobSocket.port}`,
      contact: () => `sip:bob@127.0.0.1:${bobSocket.port}`,
      isReliable: false,
      send: (text) => bobSocket.send(Buffer.from(text, "latin1"), registrar.port, registrar.host),
      onCall: (call) => bobCalls.push(call),
    });
    closers.push(() => bob.close());

    current = "the server starts";
    const server = await bounded(current, startServer(webhook.url));
    done(`Wakeline is ready at ${server.publicUrl}`);

    let ringing: (call: UaCall) => void = () => {};
    const phone = new DemoPhone({
      publicUrl: server.publicUrl,
      account: {
        username: "alice",
        domain,
        password: passwords.get("alice") ?? "",
        proxy: `127.0.0.1:${registrar.port}`,
      },
      onMessage: ({ direction, firstLine, cseq }) =>
        ladder.arrow(
          direction === "in" ? "wakeline" : "phone",
          direction === "in" ? "phone" : "wakeline",
          ...words(firstLine, cseq),
        ),
      onCall: (call) => ringing(call),
    });
    closers.push(() => phone.closeTunnel());
    const nextCall = (): Promise<UaCall> =>
      new Promise((resolve) => {
        ringing = resolve;
      });

    current = "the phone enrols and subscribes its account";
    await bounded(current, phone.enrol(server.app, server.appKey, "demo-phone-1"));
    await bounded(current, phone.subscribe());
    done("the phone enrolled and handed over its account");

    current = "the phone goes to the background";
    must((await bounded(current, phone.setPresence("background"))) === "registered", "Wakeline did not register");
    must(registrar.bindings("alice").length === 1, "the registrar holds no binding");
    done("the phone sleeps; Wakeline is registered in its place");

    current = "bob registers";
    must((await bounded(current, bob.register(300))) === 200, "bob could not register");

    current = "bob calls, the phone wakes and answers";
    const first = bob.call("alice");
    const wake = await bounded("push for the call", webhook.next("call"));
    const incoming = nextCall();
    await bounded("tunnel opens", phone.openTunnel(wake));
    const answered = await bounded("INVITE through the tunnel", incoming);
    answered.acts.ring();
    await bounded(
      "bob hears ringing",
      first.until("provisional", (step) => step.status === 180),
    );
    answered.acts.answer();
    await bounded("bob is answered", first.until("answered"));
    await bounded("ACK reaches the phone", answered.until("answered"));
    done("bob called, the push woke the phone, the phone answered");

    current = "bob hangs up";
    first.acts.bye();
    await bounded(current, Promise.all([first.until("ended"), answered.until("ended")]));
    done("bob hung up, the phone was told");

    current = "the phone calls bob through the tunnel";
    const outgoing = phone.call("bob");
    await bounded(
      "bob's phone rings",
      waitFor(() => bobCalls.length > 0),
    );
    const atBob = bobCalls[0];
    atBob?.acts.ring();
    atBob?.acts.answer();
    await bounded("the phone is answered", outgoing.until("answered"));
    outgoing.acts.bye();
    await bounded("the call ends", Promise.all([outgoing.until("ended"), atBob?.until("ended")]));
    done("the phone called bob, answered the 407 itself, and hung up");
    phone.closeTunnel();

    current = "bob calls and gives up before the phone is awake";
    const second = bob.call("alice");
    await bounded("push for the second call", webhook.next("call"));
    second.acts.cancel();
    const failed: CallStep & { kind: "failed" } = await bounded("bob's call ends", second.until("failed"));
    must(failed.status === 487, `bob's call ended with ${failed.status}`);
    await bounded("push that the call is cancelled", webhook.next("cancel"));
    done("bob gave up; the sleeping phone was told to stay quiet");

    current = "the phone comes to the foreground";
    await bounded(current, phone.setPresence("foreground"));
    must(registrar.bindings("alice").length === 0, "our binding is still at the registrar");
    done("the phone is in the foreground; Wakeline's binding is gone");

    current = "the switch is turned off";
    await bounded(current, phone.setPresence("background"));
    await bounded(current, phone.unsubscribe());
    await bounded(
      "the binding goes",
      waitFor(() => registrar.bindings("alice").length === 0),
    );
    done("the account is erased, here and at the registrar");
    return { ok: true, steps, failed: undefined };
  } catch (cause) {
    const failed = `${current}: ${cause instanceof Error ? cause.message : String(cause)}`;
    ladder.step(failed, false);
    return { ok: false, steps, failed };
  } finally {
    for (const close of closers.toReversed()) close();
  }
}

async function waitFor(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Label and, of an answer, the method that it answers. */
function words(firstLine: string, cseq: string): [label: string, detail?: string] {
  const label = labelOf(firstLine);
  return firstLine.startsWith("SIP/2.0 ") ? [label, cseq.split(" ")[1] ?? ""] : [label];
}
