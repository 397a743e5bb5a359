import { signal } from "@preact/signals";
import { readPush, type PushPayload, type WakelineDevice } from "../../../sdk/src/index.ts";

/** How this page's phones are woken, and where it is the page's own channel, why. */
export type PushRoute =
  | { readonly kind: "webPush" }
  /** `mayAsk`: the person can still allow it. */
  | { readonly kind: "ownChannel"; readonly why: string; readonly mayAsk: boolean };

/** A push service that says nothing for so long is none. */
const subscribeMsMax = 8_000;
const workerUrl = "/service-worker.js";

export const pushRoute = signal<PushRoute>({ kind: "ownChannel", why: "this page is just starting.", mayAsk: false });

/** What the service worker hands on: the scope tells for which phone. */
interface Delivered {
  readonly scope: string;
  readonly payload: unknown;
}

/** Every phone has a scope of its own, so that the browser gives each a subscription of its own. */
function scopeOf(user: string): string {
  return `/${user}/`;
}

function readDelivered({ scope, payload }: Delivered): PushOf | undefined {
  const push = readPush(payload);
  return push === undefined ? undefined : { push, isOf: (user) => new URL(scope).pathname === scopeOf(user) };
}

/** A push, and whose it is. */
export interface PushOf {
  readonly push: PushPayload;
  readonly isOf: (user: string) => boolean;
}

/** The push with which a click on a notification opened this page; once. */
export function pushThatOpened(): PushOf | undefined {
  if (location.hash.length < 2) return undefined;
  const opened = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Delivered;
  history.replaceState(null, "", location.pathname);
  return readDelivered(opened);
}

/** Installs the service worker for each phone and hands on what it gets. False when this browser has none. */
export async function listenToServiceWorker(
  users: readonly string[],
  onPush: (delivered: PushOf) => void,
): Promise<boolean> {
  if (!("serviceWorker" in navigator)) {
    pushRoute.value = { kind: "ownChannel", why: "this browser has no service workers here.", mayAsk: false };
    return false;
  }
  navigator.serviceWorker.addEventListener("message", ({ data }: MessageEvent<Delivered>) => {
    const delivered = readDelivered(data);
    if (delivered !== undefined) onPush(delivered);
  });
  navigator.serviceWorker.startMessages();
  await Promise.all(users.map((user) => navigator.serviceWorker.register(workerUrl, { scope: scopeOf(user) })));
  return true;
}

/** Whether the person has said yes, no, or nothing yet: decides what the page does at its start. */
export function settleRoute(): "granted" | "open" {
  if (!("PushManager" in globalThis) || !("Notification" in globalThis)) {
    pushRoute.value = { kind: "ownChannel", why: "this browser has no Web Push.", mayAsk: false };
  } else if (Notification.permission === "granted") return "granted";
  else if (Notification.permission === "denied") {
    pushRoute.value = {
      kind: "ownChannel",
      why: "notifications are blocked in this browser, and Web Push needs them.",
      mayAsk: false,
    };
  } else pushRoute.value = { kind: "ownChannel", why: "Web Push needs your permission.", mayAsk: true };
  return "open";
}

/**
 * Subscribes each phone at the browser's push service and has Wakeline push there from now on. Asks for permission: call it on a click, or
 * when permission was given before. Where it cannot be, the page's own channel stays, and `pushRoute` says why.
 */
export async function useWebPush(
  vapidPublicKey: string,
  phones: readonly { readonly user: string; readonly pushToken: string; readonly device: WakelineDevice }[],
): Promise<void> {
  if ((await Notification.requestPermission()) !== "granted") {
    settleRoute();
    return;
  }
  try {
    for (const { user, device } of phones) {
      const registration = await navigator.serviceWorker.register(workerUrl, { scope: scopeOf(user) });
      await active(registration);
      const subscription = await timely(
        registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: vapidPublicKey }),
      );
      await device.setPush({ provider: "webpush", token: JSON.stringify(subscription) });
      const { outcome, reason } = (await device.testPush()) as { readonly outcome: string; readonly reason?: string };
      if (outcome !== "accepted") throw new Error(`the push service cannot be reached (${reason ?? outcome}).`);
    }
    pushRoute.value = { kind: "webPush" };
  } catch (cause) {
    await Promise.all(phones.map(({ pushToken, device }) => device.setPush({ provider: "webhook", token: pushToken })));
    const why = cause instanceof Error ? cause.message : String(cause);
    pushRoute.value = { kind: "ownChannel", why: `this browser did not subscribe: ${why}`, mayAsk: false };
  }
}

/** A subscription needs a worker that runs. */
async function active(registration: ServiceWorkerRegistration): Promise<void> {
  const coming = registration.installing ?? registration.waiting;
  if (registration.active !== null || coming === null) return;
  await new Promise<void>((resolve) => {
    coming.addEventListener("statechange", () => {
      if (coming.state === "activated") resolve();
    });
  });
}

function timely<T>(work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    new Promise<T>((_resolve, reject) =>
      setTimeout(() => reject(new Error("its push service does not answer.")), subscribeMsMax),
    ),
  ]);
}
