/** What the caller asked for cannot be, since another row has it: a second account of this identity, a second subscription of this pair. */
export class StoreConflict extends Error {
  /** "account": app, username and domain are taken. "subscription": the device has this account already. "id": the id is in use. */
  readonly what: "account" | "subscription" | "id";
  constructor(what: "account" | "subscription" | "id") {
    super(`the store has this ${what} already`);
    this.name = "StoreConflict";
    this.what = what;
  }
}

/** The row to change, or one it refers to, does not exist (any more). */
export class StoreMissing extends Error {
  readonly what: "account" | "device" | "subscription" | "row";
  constructor(what: "account" | "device" | "subscription" | "row") {
    super(`the store has no such ${what}`);
    this.name = "StoreMissing";
    this.what = what;
  }
}

/** The store itself failed: full disk, dead store worker, too many writes waiting. `outcomeUnknown`: the write may have been done. */
export class StoreFault extends Error {
  readonly outcomeUnknown: boolean;
  constructor(text: string, outcomeUnknown = false, cause?: unknown) {
    super(text, { cause });
    this.name = "StoreFault";
    this.outcomeUnknown = outcomeUnknown;
  }
}

/** A failed write on its way between threads. */
export type Failure =
  | { readonly kind: "conflict"; readonly what: StoreConflict["what"] }
  | { readonly kind: "missing"; readonly what: StoreMissing["what"] }
  | { readonly kind: "fault"; readonly text: string; readonly outcomeUnknown: boolean };

export function failureOf(cause: unknown): Failure {
  if (cause instanceof StoreConflict) return { kind: "conflict", what: cause.what };
  if (cause instanceof StoreMissing) return { kind: "missing", what: cause.what };
  if (cause instanceof StoreFault) return { kind: "fault", text: cause.message, outcomeUnknown: cause.outcomeUnknown };
  return { kind: "fault", text: cause instanceof Error ? cause.message : String(cause), outcomeUnknown: false };
}

export function errorOf(failure: Failure): Error {
  switch (failure.kind) {
    case "conflict":
      return new StoreConflict(failure.what);
    case "missing":
      return new StoreMissing(failure.what);
    case "fault":
      return new StoreFault(failure.text, failure.outcomeUnknown);
    default:
      return failure satisfies never;
  }
}
