import { useEffect, useRef } from "preact/hooks";
import { door, setToken } from "../api/ask.ts";

const words = {
  unknown: "",
  open: "",
  tokenNeeded: "This server asks for the operator's token: operator.token of its configuration.",
  tokenWrong: "The server does not take that token.",
  tooManyGuesses: "Too many wrong tokens: the server makes everybody wait some seconds. Then try again.",
} as const;

/** Asks for the operator's bearer token; it stays in this tab. */
export function Door() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const isWrong = door.value === "tokenWrong" || door.value === "tooManyGuesses";
  return (
    <section class="panel door">
      <h1 tabIndex={-1}>Token</h1>
      <p id="door-words" role={isWrong ? "alert" : undefined}>
        {words[door.value]}
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const token = field.current?.value.trim() ?? "";
          if (token !== "") setToken(token);
        }}
      >
        <label for="token">Operator token</label>
        <div class="row">
          <input
            id="token"
            ref={field}
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            required
            aria-invalid={isWrong}
            aria-describedby="door-words"
          />
          <button type="submit" class="primary">
            Open
          </button>
        </div>
      </form>
      <p class="dim">It is kept in this tab until it is closed, and sent to nobody but this server.</p>
    </section>
  );
}
