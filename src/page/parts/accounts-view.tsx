import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { AccountLine, AccountsPage } from "../api/answers.ts";
import { ask, type Asked } from "../api/ask.ts";
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
/** Only those that are refused or retrying; then nothing is searched for. */
const isTroubled = signal(false);
/** Where each page shown so far begins, the server's own word for it; the last is the page shown. */
const pages = signal<readonly (string | undefined)[]>([undefined]);
const found = signal<readonly AccountLine[] | undefined>(undefined);
/** Where the next page begins; undefined after the last. */
const following = signal<string | undefined>(undefined);
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

/** Asks for the page shown; the answer to an older question is dropped. */
async function search(): Promise<void> {
  const mine = ++question;
  const after = pages.value.at(-1);
  const asked = isTroubled.value ? await askTroubles(after) : await askAccounts(after);
  if (mine !== question) return;
  fault.value = asked.ok ? "" : `Not searched: ${asked.detail}.`;
  if (!asked.ok) return;
  found.value = asked.value.accounts;
  following.value = asked.value.next;
}

function askTroubles(after: string | undefined): Promise<Asked<AccountsPage>> {
  const query = new URLSearchParams({ limit: String(pageSize), from: after ?? "0.0" });
  return ask("GET", `/operator/v1/troubles?${query}`);
}

/** One line more than is shown tells whether there is a next page. */
async function askAccounts(after: string | undefined): Promise<Asked<AccountsPage>> {
  const query = new URLSearchParams({
    limit: String(pageSize + 1),
    ...(text.value === "" ? {} : { q: text.value }),
    ...(after === undefined ? {} : { after }),
  });
  const asked = await ask<readonly AccountLine[]>("GET", `/operator/v1/accounts?${query}`);
  if (!asked.ok) return asked;
  const accounts = asked.value.slice(0, pageSize);
  const next = asked.value.length > pageSize ? accounts.at(-1)?.id : undefined;
  return { ok: true, value: { accounts, ...(next === undefined ? {} : { next }) } };
}

function searchFor(typed: string): void {
  clearTimeout(typing);
  typing = setTimeout(() => {
    text.value = typed.trim();
    isTroubled.value = false;
    turn([undefined]);
  }, typingMs);
}

/** The other list, from its beginning. */
function choose(troubled: boolean): void {
  isTroubled.value = troubled;
  found.value = undefined;
  turn([undefined]);
}

function turn(to: readonly (string | undefined)[]): void {
  pages.value = to;
  void search();
}

/** Shows those in trouble when it is opened next. */
export function showTroubles(): void {
  choose(true);
}

export function AccountsView() {
  useEffect(() => void search(), []);
  const rows = found.value ?? [];
  const next = following.value;
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
            turn([undefined]);
          }}
        >
          <label for="search">How a username begins, or @ and how a domain begins</label>
          <input
            id="search"
            type="search"
            autocomplete="off"
            spellcheck={false}
            defaultValue={text.value}
            onInput={(event) => searchFor(event.currentTarget.value)}
          />
        </form>
        <fieldset class="choice">
          <legend class="unseen">Which accounts</legend>
          {[false, true].map((troubled) => (
            <label key={String(troubled)}>
              <input
                type="radio"
                name="which"
                checked={isTroubled.value === troubled}
                onChange={() => choose(troubled)}
              />
              {troubled ? "In trouble" : "All"}
            </label>
          ))}
        </fieldset>
        <p class="dim" role="status">
          {wordsOf(rows.length, next !== undefined, all)}
        </p>
        <p role="alert" class="fault">
          {fault.value}
        </p>
        {rows.length > 0 && <Table caption="Accounts" columns={columns} rows={rows} keyOf={({ id }) => id} />}
        {(next !== undefined || pages.value.length > 1) && (
          <div class="row">
            <button type="button" disabled={pages.value.length === 1} onClick={() => turn(pages.value.slice(0, -1))}>
              Previous
            </button>
            <button type="button" disabled={next === undefined} onClick={() => turn([...pages.value, next])}>
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
  if (isTroubled.value && shown === 0) return "No account is refused or has to retry.";
  if (shown === 0) return text.value === "" ? "There is no account yet." : `No account begins with “${text.value}”.`;
  const of = text.value === "" && !isTroubled.value && all !== undefined ? ` of ${count(all)}` : "";
  return `${count(shown)}${of} shown${hasMore ? "; there are more" : ""}.`;
}
