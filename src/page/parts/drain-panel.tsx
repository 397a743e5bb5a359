import { signal } from "@preact/signals";
import { ask } from "../api/ask.ts";
import { Confirm } from "./confirm.tsx";

const isAsking = signal(false);
const fault = signal("");

/** Takes the server out of service. */
export function DrainPanel({ isDraining }: { readonly isDraining: boolean }) {
  return (
    <section class="panel" aria-labelledby="drain">
      <h2 id="drain">Take out of service</h2>
      <p>
        {isDraining
          ? "The server is draining: no new calls, running ones go on. It ends by itself."
          : "Draining ends the server gently: no new calls, running ones go on until they end or drain_sec is over. Registrations stay for the next start."}
      </p>
      {!isDraining && (
        <button type="button" class="danger" onClick={() => (isAsking.value = true)}>
          Drain…
        </button>
      )}
      <p role="alert" class="fault">
        {fault.value}
      </p>
      {isAsking.value && (
        <Confirm
          title="Drain this server?"
          words="It takes no new calls from now on and ends once the running ones have. There is no way back but a new start."
          act="Drain"
          onDone={async (isSure) => {
            isAsking.value = false;
            if (!isSure) return;
            const asked = await ask("POST", "/operator/v1/drain");
            fault.value = asked.ok ? "" : `Not drained: ${asked.detail}.`;
          }}
        />
      )}
    </section>
  );
}
