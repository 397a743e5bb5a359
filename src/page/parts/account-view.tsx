import { useEffect, useState } from "preact/hooks";
import type { AccountDetail, AccountDevice } from "../api/answers.ts";
import { ask, type Asked } from "../api/ask.ts";
import { hrefOf } from "../model/route.ts";
import { accountVersion, callsVersion, nowMs } from "../state/live.ts";
import { fromNow } from "../words/figures.ts";
import { stateNames, stateTones, storyOf } from "../words/registration.ts";
import { AccountActions } from "./account-actions.tsx";
import { Badge } from "./badge.tsx";
import { CallsTable } from "./calls-table.tsx";
import { StoryPanel } from "./story-panel.tsx";
import { Table, type Column } from "./table.tsx";
import { Trace } from "./trace.tsx";

/** Its state changes without an event too: a refresh is none. */
const careMs = 5_000;

const deviceColumns: readonly Column<AccountDevice>[] = [
  { name: "Device", cell: ({ device, name }) => <span class="name">{name ?? device}</span> },
  {
    name: "Phone is",
    cell: ({ presence }) => (presence === "background" ? "asleep, woken by push" : "in the foreground"),
  },
  {
    name: "Push",
    cell: ({ provider, tokenState }) => (
      <Badge
        tone={tokenState === "alive" ? "good" : "bad"}
        text={`${provider}, token ${tokenState === "alive" ? "alive" : "dead"}`}
      />
    ),
  },
  { name: "Last seen", isNumber: true, cell: ({ lastSeenAt }) => fromNow(lastSeenAt, nowMs.value) },
];

/** Why an account is reachable or not, and what to do about it. */
export function AccountView({ account }: { readonly account: string }) {
  const [asked, setAsked] = useState<Asked<AccountDetail> | undefined>(undefined);
  const [turn, setTurn] = useState(0);
  const version = `${accountVersion.value} ${callsVersion.value} ${turn}`;
  useEffect(() => {
    let isWanted = true;
    void (async () => {
      const answer = await ask<AccountDetail>("GET", `/operator/v1/accounts/${encodeURIComponent(account)}`);
      // While the server is silent, what was known stays.
      if (isWanted) setAsked((before) => (answer.ok || answer.reason === "notFound" ? answer : (before ?? answer)));
    })();
    const timer = setTimeout(() => setTurn((before) => before + 1), careMs);
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [account, version]);
  return (
    <>
      <p class="back">
        <a href={hrefOf({ view: "accounts" })}>← Accounts</a>
      </p>
      <h1 tabIndex={-1}>{asked?.ok === true ? `${asked.value.username}@${asked.value.domain}` : "Account"}</h1>
      {asked === undefined && <p class="panel empty">Asking the server…</p>}
      {asked?.ok === false && (
        <p class="panel empty">
          {asked.reason === "notFound"
            ? "There is no such account (any more). Its secret is erased with it."
            : `Not shown: ${asked.detail}.`}
        </p>
      )}
      {asked?.ok === true && <Known detail={asked.value} />}
    </>
  );
}

function Known({ detail }: { readonly detail: AccountDetail }) {
  const { registration, deviceList, calls } = detail;
  const { headline, facts, advice } = storyOf(registration, deviceList, nowMs.value);
  return (
    <>
      <section class="panel story" aria-labelledby="story">
        <h2 id="story" class="unseen">
          Registration
        </h2>
        <p>
          <Badge tone={stateTones[registration.state]} text={stateNames[registration.state]} />
        </p>
        <p class="headline">{headline}</p>
        {facts.map((fact) => (
          <p key={fact.replace(/\d.*/, "")}>{fact}</p>
        ))}
        {advice !== undefined && (
          <p class="advice">
            <strong>What to do:</strong> {advice}
          </p>
        )}
        <AccountActions detail={detail} />
      </section>
      <div class="grid">
        <section class="panel wide" aria-labelledby="devices">
          <h2 id="devices">Devices</h2>
          {deviceList.length === 0 ? (
            <p class="empty">No device subscribes to this account.</p>
          ) : (
            <Table
              caption="Devices of the account"
              columns={deviceColumns}
              rows={deviceList}
              keyOf={({ device }) => device}
            />
          )}
        </section>
        <Settings detail={detail} />
        <StoryPanel detail={detail} />
        <section class="panel full" aria-labelledby="last-calls">
          <h2 id="last-calls">Last calls</h2>
          <CallsTable
            calls={calls.map((call) => ({ ...call, startedAt: call.at }))}
            empty="No call came in for this account yet."
          />
        </section>
      </div>
      <Trace detail={detail} />
    </>
  );
}

function Settings({ detail }: { readonly detail: AccountDetail }) {
  const lines: readonly (readonly [string, string | undefined])[] = [
    ["Display name", detail.displayName],
    ["App", detail.app],
    ["Proxy", detail.alternateProxy ?? detail.proxy],
    ["Transport", detail.transport],
    ["Mode", detail.registration.mode],
    ["Server in use", detail.registration.registrar],
    ["Id", detail.id],
  ];
  return (
    <section class="panel tall" aria-labelledby="settings">
      <h2 id="settings">Settings</h2>
      <dl class="lines">
        {lines.flatMap(([name, value]) =>
          value === undefined
            ? []
            : [
                <div key={name}>
                  <dt>{name}</dt>
                  <dd class="name">{value}</dd>
                </div>,
              ],
        )}
      </dl>
    </section>
  );
}
