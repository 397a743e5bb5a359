import { randomUUID } from "node:crypto";
import { labelOf } from "../base/ladder.ts";
import { htmlFiles } from "../page/html-files.ts";
import page from "./page/index.html";
import serviceWorker from "./page/service-worker.js" with { type: "text" };
import { DemoRegistrar } from "./registrar.ts";
import type { DemoServer } from "./story.ts";

const domain = "demo.example";
const policy =
  "default-src 'self'; connect-src *; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

export interface DemoPage {
  readonly url: string;
  readonly operatorUrl: string;
  close(): Promise<void>;
}

/**
 * The page of `wakeline demo --page`: two browser phones, a registrar inside, and the page's own channel for pushes and for the ladder.
 * `startServer` is given the webhook's URL and returns the running server.
 */
export async function openDemoPage(
  port: number,
  startServer: (webhookUrl: string) => Promise<DemoServer>,
): Promise<DemoPage> {
  const watchers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const tell = (topic: string, data: Readonly<Record<string, unknown>>): void => {
    const bytes = Buffer.from(`event: ${topic}\ndata: ${JSON.stringify({ atMs: Date.now(), ...data })}\n\n`);
    for (const watcher of watchers) watcher.enqueue(bytes);
  };
  const passwords = new Map([
    ["alice", randomUUID()],
    ["bob", randomUUID()],
  ]);
  const registrar = await DemoRegistrar.open({
    host: "127.0.0.1",
    port: 0,
    domain,
    passwords,
    onMessage: ({ direction, firstLine, user }) =>
      tell("wire", { isFromServer: direction === "out", user, label: labelOf(firstLine) }),
  });
  const files = htmlFiles(page);
  let settings: unknown;
  const http = Bun.serve({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (request.method === "POST" && pathname === "/push") {
        const { token, payload } = (await request.json()) as { token: string; payload: unknown };
        tell("push", { token, payload });
        return new Response(null, { status: 204 });
      }
      if (pathname === "/settings.json") return Response.json(settings, { headers: { "cache-control": "no-store" } });
      // Its address never changes: a browser looks for a newer one at each start of the page.
      if (pathname === "/service-worker.js") {
        return new Response(serviceWorker, {
          headers: { "content-type": "text/javascript", "cache-control": "no-cache" },
        });
      }
      if (pathname === "/events") return new Response(events(), { headers: { "content-type": "text/event-stream" } });
      const file = await files(request);
      if (file === undefined) return new Response("not found", { status: 404 });
      file.headers.set("content-security-policy", policy);
      file.headers.set("x-content-type-options", "nosniff");
      return file;
    },
  });
  function events(): ReadableStream<Uint8Array> {
    let own: ReadableStreamDefaultController<Uint8Array> | undefined;
    return new ReadableStream({
      start(controller) {
        own = controller;
        controller.enqueue(Buffer.from("retry: 1000\n\n"));
        watchers.add(controller);
      },
      cancel() {
        if (own !== undefined) watchers.delete(own);
      },
    });
  }
  const url = `http://127.0.0.1:${http.port}`;
  // Bundled from source at the first request: not the one that somebody waits for.
  const [server] = await Promise.all([startServer(`${url}/push`), files(new Request(url))]);
  settings = {
    server: server.publicUrl,
    vapidPublicKey: await vapidPublicKey(server.publicUrl),
    operator: server.operatorUrl,
    app: server.app,
    appKey: server.appKey,
    accounts: [...passwords].map(([user, password]) => ({
      user,
      domain,
      password,
      proxy: `127.0.0.1:${registrar.port}`,
    })),
  };
  return {
    url,
    operatorUrl: server.operatorUrl,
    async close() {
      await http.stop(true);
      registrar.close();
    },
  };
}

/** What browsers subscribe to Web Push with (RFC 8292). */
async function vapidPublicKey(publicUrl: string): Promise<string | undefined> {
  const facts = await fetch(`${publicUrl}/.well-known/wakeline.json`);
  return ((await facts.json()) as { readonly vapidPublicKey?: string }).vapidPublicKey;
}
