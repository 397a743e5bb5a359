import { useState } from "preact/hooks";
import type { AccountDetail } from "../api/answers.ts";
import { ask } from "../api/ask.ts";
import { hrefOf } from "../model/route.ts";
import { accountVersion } from "../state/live.ts";
import { startTrace } from "./trace.tsx";
import { Confirm } from "./confirm.tsx";

export function AccountActions({ detail: { id, username, domain, registration } }: { readonly detail: AccountDetail }) {
  const isWanting = registration.state === "refused" || registration.state === "retrying";
  const [said, say] = useState("");
  const [isAsking, setAsking] = useState(false);
  const path = `/operator/v1/accounts/${encodeURIComponent(id)}`;
  const retry = async (): Promise<void> => {
    const asked = await ask("POST", `${path}/retry`);
    say(asked.ok ? "It is tried now, if a device wants it." : `Not tried: ${asked.detail}.`);
    accountVersion.value++;
  };
  const trace = async (): Promise<void> => {
    const fault = await startTrace(id);
    say(fault ?? "Traced for 5 minutes: the ladder below fills as messages of calls pass.");
  };
  return (
    <>
      <div class="row">
        <button type="button" class={isWanting ? "primary" : undefined} onClick={() => void retry()}>
          Retry now
        </button>
        <button type="button" onClick={() => void trace()}>
          Trace 5 min
        </button>
        <button type="button" class="danger" onClick={() => setAsking(true)}>
          Remove…
        </button>
      </div>
      <p role="status" class="dim said">
        {said}
      </p>
      {isAsking && (
        <Confirm
          title={`Remove ${username}@${domain}?`}
          words="Its binding at the registrar and its secret are erased, and its phones get no more pushes for it. The app has to subscribe again."
          act="Remove"
          onDone={async (isSure) => {
            setAsking(false);
            if (!isSure) return;
            const asked = await ask("DELETE", path);
            if (asked.ok) location.hash = hrefOf({ view: "accounts" });
            else say(`Not removed: ${asked.detail}.`);
          }}
        />
      )}
    </>
  );
}
