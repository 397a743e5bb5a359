import type { Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { unsupportedOptions } from "../sip/message/read-list.ts";
import type { SipView } from "../sip/message/view.ts";
import { writeResponse } from "../sip/message/write-response.ts";
import { newTag } from "./call-uuid.ts";
import type { Core } from "./core.ts";

/** Methods that pass through the relay. */
export const allowLine =
  "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE";

/** Answers that leave no state behind (RFC 3261 §8.2.7). */
export class OwnAnswers {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Refuses a request of somebody unproven: at most one answer, back to where it came from, never longer than the request, so that
   * nobody can have a third party flooded by us. A longer one is not sent.
   */
  refuse(view: SipView, source: Source, status: number, reason: string): void {
    if (view.find(Header.via) < 0) return;
    const toTag = newTag(this.#core.options.random);
    const bytes = writeResponse(this.#core.writer, view, status, reason, { toTag, received: source });
    if (bytes.length === 0 || bytes.length > view.to - view.from) return;
    this.#core.options.network.reply(source, bytes);
  }

  /** OPTIONS of the account's own server, asked every few seconds by some: 200, we are here (§11.2); 420 when it requires an extension (§8.2.2.3). */
  options(view: SipView, source: Source): void {
    const required = unsupportedOptions(view, Header.require, []);
    const [status, reason] = required.length === 0 ? [200, "OK"] : [420, "Bad Extension"];
    const bytes = writeResponse(this.#core.writer, view, status, reason, {
      toTag: newTag(this.#core.options.random),
      received: source,
      headers: [
        ...(required.length === 0 ? [] : [`Unsupported: ${required.join(", ")}`]),
        allowLine,
        "Accept: application/sdp",
        `User-Agent: ${this.#core.settings.userAgent}`,
      ],
    });
    this.#core.options.network.reply(source, bytes);
  }
}
