import { useEffect, useState } from "preact/hooks";
import type { AccountDetail, CallDetail } from "../api/answers.ts";
import { ask, type Asked } from "../api/ask.ts";
import { hrefOf } from "../model/route.ts";
import { callsVersion, nowMs } from "../state/live.ts";
import { callerText, callNames, callTones } from "../words/calls.ts";
import { millis, timeOf } from "../words/figures.ts";
import { Badge } from "./badge.tsx";
import { Ladder } from "./ladder.tsx";

/** One call and its ladder, asked for again when calls change. */
export function CallView({ call }: { readonly call: string }) {
  const [asked, setAsked] = useState<Asked<CallDetail> | undefined>(undefined);
  const [account, setAccount] = useState<Asked<AccountDetail> | undefined>(undefined);
  const isOver = asked?.ok === true && asked.value.endedAt !== undefined;
  const version = isOver ? 0 : callsVersion.value;
  useEffect(() => {
    let isWanted = true;
    void (async () => {
      const answer = await ask<CallDetail>("GET", `/operator/v1/calls/${encodeURIComponent(call)}`);
      // A call that leaves memory while it is looked at stays on the page.
      if (isWanted) setAsked((before) => (answer.ok || before?.ok !== true ? answer : before));
    })();
    return () => {
      isWanted = false;
    };
  }, [call, version]);
  const accountId = asked?.ok === true ? asked.value.account : undefined;
  useEffect(() => {
    if (accountId === undefined) return;
    void (async () => {
      setAccount(await ask<AccountDetail>("GET", `/operator/v1/accounts/${encodeURIComponent(accountId)}`));
    })();
  }, [accountId]);
  return (
    <>
      <p class="back">
        <a href={hrefOf({ view: "calls" })}>← Calls</a>
      </p>
      <h1 tabIndex={-1}>{asked?.ok === true ? titleOf(asked.value) : "Call"}</h1>
      {(asked === undefined || (asked.ok && account === undefined)) && <p class="panel empty">Asking the shards…</p>}
      {asked?.ok === false && (
        <p class="panel empty">
          {asked.reason === "notFound"
            ? "This call is not in memory any more: ladders of the newest calls are kept."
            : `Not shown: ${asked.detail}.`}
        </p>
      )}
      {/* With the account's name: one that comes later takes more room, and what stands below would jump. */}
      {asked?.ok === true && account !== undefined && (
        <Known detail={asked.value} account={account.ok ? account.value : undefined} />
      )}
    </>
  );
}

function titleOf({ direction, from }: CallDetail): string {
  return `${direction === "inbound" ? "Call from" : "Call by"} ${callerText(from)}`;
}

function Known({ detail, account }: { readonly detail: CallDetail; readonly account: AccountDetail | undefined }) {
  const { state, startedAt, answeredAt, endedAt, callId } = detail;
  const name = account === undefined ? "Account" : `${account.username}@${account.domain}`;
  const deviceName = (device: string, nth: number): string =>
    account?.deviceList.find((one) => one.device === device)?.name ?? (nth === 0 ? "Device" : `Device ${nth + 1}`);
  return (
    <>
      <section class="panel" aria-label="The call">
        <dl class="facts wrap">
          <div>
            <dt>State</dt>
            <dd>
              <Badge tone={callTones[state]} text={callNames[state]} />
            </dd>
          </div>
          <div>
            <dt>Account</dt>
            <dd>
              <a href={hrefOf({ view: "account", account: detail.account })}>{name}</a>
            </dd>
          </div>
          <div>
            <dt>Began</dt>
            <dd>{timeOf(startedAt, nowMs.value)}</dd>
          </div>
          {answeredAt !== undefined && (
            <div>
              <dt>Answered after</dt>
              <dd>{millis(Date.parse(answeredAt) - Date.parse(startedAt))}</dd>
            </div>
          )}
          {endedAt !== undefined && (
            <div>
              <dt>Ended after</dt>
              <dd>{millis(Date.parse(endedAt) - Date.parse(startedAt))}</dd>
            </div>
          )}
          <div>
            <dt>Call-ID</dt>
            <dd class="name">{callId}</dd>
          </div>
        </dl>
      </section>
      <section class="panel" aria-labelledby="ladder">
        <h2 id="ladder">Ladder</h2>
        <Ladder rungs={detail.ladder} empty="No message is kept of this call." deviceName={deviceName} />
      </section>
    </>
  );
}
