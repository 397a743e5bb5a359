import { useState } from "preact/hooks";
import { pushRoute } from "./web-push.ts";

/** Says openly which way pushes take, and why; offers the real one where the person can still allow it. */
export function PushNote({ onAllow }: { readonly onAllow: () => Promise<void> }) {
  const [isBusy, setBusy] = useState(false);
  const route = pushRoute.value;
  return (
    <div class="push-note">
      <p role="status">
        {route.kind === "webPush" ? (
          <>
            <strong>Pushes are real Web Push</strong>, sent by Wakeline through your browser's push service: close this
            tab, call, and a notification rings.
          </>
        ) : (
          <>
            <strong>Pushes come over this page's own channel</strong> (a webhook that the page listens to), because{" "}
            {route.why} On phones it is APNs, FCM or Web Push.
          </>
        )}
      </p>
      {route.kind === "ownChannel" && route.mayAsk && (
        <button
          type="button"
          disabled={isBusy}
          onClick={() => {
            setBusy(true);
            void onAllow().finally(() => setBusy(false));
          }}
        >
          {isBusy ? "Subscribing…" : "Use real Web Push"}
        </button>
      )}
    </div>
  );
}
