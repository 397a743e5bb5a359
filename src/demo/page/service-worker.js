self.addEventListener("push", (event) => event.waitUntil(onPush(event.data?.json())));
self.addEventListener("notificationclick", (event) => event.waitUntil(onClick(event.notification)));

async function onPush(payload) {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages) page.postMessage({ scope: self.registration.scope, payload });
  if (!pages.some((page) => page.visibilityState === "visible")) await show(payload);
}

function show(payload) {
  const caller = payload.from?.name ?? payload.from?.uri?.replace(/^sips?:/, "") ?? "";
  const titles = { call: `${caller} calls`, cancel: `${caller} called`, missed: `${caller} called` };
  return self.registration.showNotification(titles[payload.kind] ?? "Wakeline", {
    body: payload.text ?? "",
    tag: payload.call ?? payload.id,
    requireInteraction: payload.kind === "call",
    data: payload,
  });
}

async function onClick(notification) {
  notification.close();
  const [page] = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (page !== undefined) return page.focus();
  const opened = JSON.stringify({ scope: self.registration.scope, payload: notification.data });
  return self.clients.openWindow(`/#${encodeURIComponent(opened)}`);
}
