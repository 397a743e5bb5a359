import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import { Method } from "../sip/message/method.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Core } from "./core.ts";
import { mwiCountsKeptMax } from "./limits.ts";
import { readMessageSummary, summaryText } from "./message-summary.ts";
import { indifferent } from "./own-requests.ts";
import { requestToPhone } from "./rewriting.ts";

/** What a NOTIFY of voicemail (RFC 3842) means for phones: a push to those that sleep, a copy to those that are here. */
export class VoicemailNews {
  readonly #core: Core;
  /** New messages at the last push, for accounts that have any. */
  readonly #counts = new Map<AccountId, number>();

  constructor(core: Core) {
    this.#core = core;
  }

  forget(accountId: AccountId): void {
    this.#counts.delete(accountId);
  }

  /** A NOTIFY came. `isRelayed`: phones that are here have it themselves. */
  tell(view: SipView, accountId: AccountId, isRelayed: boolean): void {
    const summary = readMessageSummary(view);
    if (summary === undefined) return;
    const before = this.#counts.get(accountId);
    this.#counts.delete(accountId);
    if (!summary.waiting || summary.newCount === 0) return;
    this.#counts.set(accountId, summary.newCount);
    if (this.#counts.size > mwiCountsKeptMax) {
      const oldest = this.#counts.keys().next().value;
      if (oldest !== undefined) this.#counts.delete(oldest);
    }
    // The same word again, or fewer than before: the person has been listening. No reason to light up a screen.
    if (before !== undefined && summary.newCount <= before) return;
    const targets = this.#core.options.directory
      .subscriptions(accountId)
      .filter(
        ({ deviceId, notify, wakeable }) =>
          notify.voicemail && wakeable && !(isRelayed && this.#core.links.find(deviceId)?.serves(accountId) === true),
      )
      .map(({ deviceId, subscriptionId }) => ({ deviceId, subscriptionId }));
    if (targets.length === 0) return;
    const text = summaryText(summary);
    this.#core.options.uplink.emit({
      kind: "notify",
      push: "voicemail",
      accountId,
      targets,
      ...(text === undefined ? {} : { text }),
    });
  }

  /** A phone that is here lights its own lamp. */
  copyToTunnels(view: SipView, accountId: AccountId, row: RegistrationIndex): void {
    const { user, domain } = this.#core.options.book.aor(row);
    for (const { deviceId } of this.#core.options.directory.subscriptions(accountId)) {
      const link = this.#core.links.find(deviceId);
      if (link?.serves(accountId) !== true) continue;
      const branch = this.#core.transactions.newBranch();
      const uri = link.contacts.get(accountId) ?? `sip:${user}@${domain}`;
      const bytes = requestToPhone(this.#core.writer, view, this.#core.viaToPhone(branch), uri);
      this.#core.sent({ record: undefined, accountId, deviceId }, "device", bytes);
      this.#core.request(link, bytes, Method.notify, branch, indifferent);
    }
  }
}
