import type { DeviceId, RegistrationIndex } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Method } from "../sip/message/method.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ServerTransaction } from "../sip/transaction/transactions.ts";
import { ServerAsker } from "./asker.ts";
import { newTag } from "./call-uuid.ts";
import type { Core } from "./core.ts";
import type { DialogLife } from "./dialog-life.ts";
import { RelayedRequest } from "./relay.ts";
import { hopsLeft, requestToPhone } from "./rewriting.ts";

const noDevice = "" as DeviceId;

/**
 * Requests of the account's server outside calls that only a phone can answer: SUBSCRIBE, REFER (click to dial) and methods we do not
 * know. They go to one phone that has a tunnel open: a second would dial too. Nobody is woken for them.
 */
export class ToPhones {
  readonly #core: Core;
  readonly #life: DialogLife;

  constructor(core: Core, life: DialogLife) {
    this.#core = core;
    this.#life = life;
  }

  onRequest(tx: ServerTransaction, view: SipView, source: Source, row: RegistrationIndex): void {
    const { book, directory, random } = this.#core.options;
    const accountId = book.accountId(row);
    const flow = this.#core.flows.toSource(source, book.serverOf(row));
    const contact = `<${book.contactUri(row, flow.peer)}>`;
    const link = directory
      .subscriptions(accountId)
      .map(({ deviceId }) => this.#core.links.find(deviceId))
      .find((found) => found?.serves(accountId) === true);
    const belonging = { record: undefined, accountId, deviceId: link?.deviceId ?? noDevice };
    this.#core.received(belonging, "server", view);
    const asker = new ServerAsker(this.#core, tx, belonging, contact);
    if (hopsLeft(view) < 0) return asker.answer(483, "Too Many Hops", { toTag: newTag(random) });
    if (link === undefined) return asker.answer(480, "Temporarily Unavailable", { toTag: newTag(random) });
    const { request } = tx;
    const { deviceId } = link;
    const making = { accountId, deviceId, record: undefined, contact, flow, direction: "toPhone", request } as const;
    const forms = view.method === Method.subscribe || view.method === Method.refer;
    const relayed = new RelayedRequest(
      this.#core,
      asker,
      (response) => {
        if (!forms || response.status < 200 || response.status >= 300) return;
        const dialog = this.#life.fromResponse(making, response);
        if (dialog !== undefined) this.#life.subscribe(dialog, request, response);
      },
      () => {},
    );
    const { user, domain } = book.aor(row);
    const branch = this.#core.transactions.newBranch();
    const uri = link.contacts.get(accountId) ?? `sip:${user}@${domain}`;
    const bytes = requestToPhone(this.#core.writer, view, this.#core.viaToPhone(branch), uri);
    this.#core.sent(belonging, "device", bytes);
    relayed.start(this.#core.request(link, bytes, view.method, branch, relayed));
  }
}
