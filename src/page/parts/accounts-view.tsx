import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { AccountLine } from "../api/answers.ts";
import { ask } from "../api/ask.ts";
import { hrefOf } from "../model/route.ts";
import { summary } from "../state/live.ts";
import { count } from "../words/figures.ts";
import { stateNames, stateTones } from "../words/registration.ts";
import { Badge } from "./badge.tsx";
import { Table, type Column } from "./table.tsx";

const pageSize = 25;
/** A pause in typing. */
const typingMs = 300;

const text = signal("");
/** Ids after which each page shown so far begins; the last is the page shown. */
const pages = signal<readonly (string | undefined)[]>([undefined]);
const found = signal<readonly AccountLine[] | undefined>(undefined);
const fault = signal("");
let typing: ReturnType<typeof setTimeout> | undefined;
let question = 0;

const columns: readonly Column<AccountLine>[] = [
  {
    name: "Account",
    cell: ({ id, username, domain }) => (
      <a class="name" href={hrefOf({ view: "account", account: id })}>
        {username}@{domain}
      </a>
    ),
  },
  {
    name: "Registration",
    cell: ({ registration: { state } }) => <Badge tone={stateTones[state]} text={stateNames[state]} />,
  },
  {
    name: "Last answer",
    isNumber: true,
    cell: ({ registration: { lastStatus } }) => lastStatus ?? "–",
  },
  { name: "Devices", isNumber: true, cell: ({ devices }) => count(devices) },
  { name: "App", cell: ({ app }) => <span class="name">{app}</span> },
];

/** Asks for the page shown; the answer to an older question is dropped. One line more tells whether there is a next page. */
async function search(): Promise<void> {
  const mine = ++question;
  const after = pages.value.at(-1);
  const query = new URLSearchParams({
    limit: String(pageSize + 1),
    ...(text.value === "" ? {} : { q: text.value }),
    ...(after === undefined ? {} : { after }),
  });
  const asked = await ask<readonly AccountLine[]>("GET", `/operator/v1/accounts?${query}`);
  if (mine !== question) return;
  fault.value = asked.ok ? "" : `Not searched: ${asked.detail}.`;
  if (asked.ok) found.value = asked.value;
}

function searchFor(typed: string): void {
  clearTimeout(typing);
  typing = setTimeout(() => {
    text.value = typed.trim();
    pages.value = [undefined];
    void search();
  }, typingMs);
}

function turn(to: readonly (string | undefined)[]): void {
  pages.value = to;
  void search();
}

export function AccountsView() {
  useEffect(() => void search(), []);
  const rows = found.value?.slice(0, pageSize) ?? [];
  const hasMore = (found.value?.length ?? 0) > pageSize;
  const all = summary.value?.accounts;
  return (
    <>
      <h1 tabIndex={-1}>Accounts</h1>
      <section class="panel" aria-label="Find an account">
        <form
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            clearTimeout(typing);
            pages.value = [undefined];
            void search();
          }}
        >
          <label for="search">Part of a username or domain</label>
          <input
            id="search"
            type="search"
            autocomplete="off"
            spellcheck={false}
            defaultValue={text.value}
            onInput={(event) => searchFor(event.currentTarget.value)}
          />
        </form>
        <p class="dim" role="status">
          {wordsOf(rows.length, hasMore, all)}
        </p>
        <p role="alert" class="fault">
          {fault.value}
        </p>
        {rows.length > 0 && <Table caption="Accounts" columns={columns} rows={rows} keyOf={({ id }) => id} />}
        {(hasMore || pages.value.length > 1) && (
          <div class="row">
            <button type="button" disabled={pages.value.length === 1} onClick={() => turn(pages.value.slice(0, -1))}>
              Previous
            </button>
            <button type="button" disabled={!hasMore} onClick={() => turn([...pages.value, rows.at(-1)?.id])}>
              Next
            </button>
          </div>
        )}
      </section>
    </>
  );
}

function wordsOf(shown: number, hasMore: boolean, all: number | undefined): string {
  if (found.value === undefined) return "Asking the server…";
  if (shown === 0) return text.value === "" ? "There is no account yet." : `No account matches “${text.value}”.`;
  const of = text.value === "" && all !== undefined ? ` of ${count(all)}` : "";
  return `${count(shown)}${of} shown${hasMore ? "; there are more" : ""}.`;
}
