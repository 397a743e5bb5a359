import type { CallUuid, SubscriptionId } from "../base/ids.ts";
import type { PushKind, PushPayload } from "./types.ts";

/** `interface`: a payload stays under 4 KB whatever carries it. */
export const payloadBytesMax = 4095;
/** A Call-ID longer than this gives way before the caller's address does. */
const callIdCharsMax = 255;

/** What the caller of the gateway knows; `undefined` and absent are the same. */
export interface PayloadFields {
  /** UUID of the push, the same for every retry. */
  readonly id: string;
  readonly kind: PushKind;
  readonly subscription?: SubscriptionId | undefined;
  readonly call?: CallUuid | undefined;
  readonly callId?: string | undefined;
  readonly from?: { readonly uri: string; readonly name?: string | undefined } | undefined;
  readonly tunnel?: string | undefined;
  readonly deadlineMs?: number | undefined;
  readonly text?: string | undefined;
}

// C0, DEL, C1, line separators, and the marks that turn text around: a caller chooses these strings, a lock screen shows them.
const unfit = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;

function clean(text: string): string {
  return text.toWellFormed().replace(unfit, " ").trim();
}

/** Puts a payload together, `sentAt` from `wallMs` (Unix ms). Control characters become spaces; an empty name or text is left out. */
export function buildPayload(fields: PayloadFields, wallMs: number): PushPayload {
  const name = fields.from?.name === undefined ? "" : clean(fields.from.name);
  const text = fields.text === undefined ? "" : clean(fields.text);
  return {
    v: 1,
    id: fields.id,
    kind: fields.kind,
    ...(fields.subscription === undefined ? {} : { subscription: fields.subscription }),
    sentAt: new Date(wallMs).toISOString(),
    ...(fields.call === undefined ? {} : { call: fields.call }),
    ...(fields.callId === undefined ? {} : { callId: clean(fields.callId) }),
    ...(fields.from === undefined ? {} : { from: { uri: clean(fields.from.uri), ...(name === "" ? {} : { name }) } }),
    ...(fields.tunnel === undefined ? {} : { tunnel: fields.tunnel }),
    ...(fields.deadlineMs === undefined ? {} : { deadline: new Date(fields.deadlineMs).toISOString() }),
    ...(text === "" ? {} : { text }),
  };
}

/** Bytes of the payload as JSON in UTF-8. */
export function payloadBytes(payload: PushPayload): number {
  return Buffer.byteLength(JSON.stringify(payload));
}

function without(payload: PushPayload, name: "text" | "callId"): PushPayload {
  const copy: { -readonly [Name in keyof PushPayload]: PushPayload[Name] } = { ...payload };
  delete copy[name];
  return copy;
}

interface Field {
  read(payload: PushPayload): string | undefined;
  write(payload: PushPayload, value: string): PushPayload;
  /** Whether a shortened value is of use; otherwise the field goes whole. */
  readonly cuttable: boolean;
}

/** What gives way, in this order: the name first, the caller's address last (`interface`: `from.name` cut first). */
const cutOrder: readonly Field[] = [
  {
    read: ({ from }) => from?.name,
    write: ({ from, ...rest }, name) =>
      from === undefined ? rest : { ...rest, from: { uri: from.uri, ...(name === "" ? {} : { name }) } },
    cuttable: true,
  },
  {
    read: ({ text }) => text,
    write: (payload, text) => (text === "" ? without(payload, "text") : { ...payload, text }),
    cuttable: true,
  },
  {
    read: ({ callId }) => (callId !== undefined && callId.length > callIdCharsMax ? callId : undefined),
    write: (payload) => without(payload, "callId"),
    cuttable: false,
  },
  {
    read: ({ from }) => from?.uri,
    write: ({ from, ...rest }, uri) => (from === undefined ? rest : { ...rest, from: { ...from, uri } }),
    cuttable: true,
  },
];

/** The longest cut of one field that fits, by code points; undefined when even an empty one does not. */
function cut(
  payload: PushPayload,
  field: Field,
  value: string,
  bytesMax: number,
  fits: (candidate: PushPayload) => boolean,
): PushPayload | undefined {
  // A character is a byte at least: what lies beyond the limit cannot stay, and is not looked at.
  const points = field.cuttable ? Array.from(value.slice(0, bytesMax)) : [];
  const upTo = (length: number): PushPayload =>
    field.write(payload, length === 0 ? "" : `${points.slice(0, length).join("")}…`);
  if (!fits(upTo(0))) return undefined;
  let most = 0;
  for (let low = 1, high = points.length - 1; low <= high;) {
    const middle = (low + high) >> 1;
    if (fits(upTo(middle))) {
      most = middle;
      low = middle + 1;
    } else high = middle - 1;
  }
  return upTo(most);
}

/**
 * The payload itself when it fits, else cut until it does; undefined when it cannot be made to fit. `bytesOf` measures what a
 * provider counts (its envelope included), and must not grow when a field shrinks.
 */
export function fitPayload(
  payload: PushPayload,
  bytesMax: number = payloadBytesMax,
  bytesOf: (candidate: PushPayload) => number = payloadBytes,
): PushPayload | undefined {
  const fits = (candidate: PushPayload): boolean => bytesOf(candidate) <= bytesMax;
  let left = payload;
  if (fits(left)) return left;
  for (const field of cutOrder) {
    const value = field.read(left);
    if (value === undefined) continue;
    const shorter = cut(left, field, value, bytesMax, fits);
    if (shorter !== undefined) return shorter;
    left = field.write(left, "");
  }
  return undefined;
}
