import type { Realm } from "./realms.ts";

/** Shapes that a template keeps; the oldest makes room. */
const shapesMax = 16;

/** Where the credentials of a request have what differs from one to the next. */
export class CredentialMarks {
  nonce = 0;
  response = 0;
  cnonce = 0;
  count = 0;
  opaque = 0;
  user = 0;
}

/**
 * A whole REGISTER as it was written for some account, and where in it accounts differ: requests whose parts are all as long are the
 * same but for these places. Copying it and filling them in is twice as quick as writing it part by part.
 */
export class RegisterShape {
  /** What must be the same: length of the user, digits of CSeq, seconds asked for, kind of the credentials and their realm. */
  readonly userLength: number;
  readonly digits: number;
  readonly askedSec: number;
  readonly kind: number;
  readonly realm: Realm | undefined;
  bytes: Uint8Array;
  branch = 0;
  fromUser = 0;
  tag = 0;
  toUser = 0;
  callId = 0;
  cseq = 0;
  contactUser = 0;
  line = 0;
  /** 0: no instance of ours. */
  instance = 0;
  readonly credentials = new CredentialMarks();

  constructor(
    userLength: number,
    digits: number,
    askedSec: number,
    kind: number,
    realm: Realm | undefined,
    bytes: Uint8Array,
  ) {
    this.userLength = userLength;
    this.digits = digits;
    this.askedSec = askedSec;
    this.kind = kind;
    this.realm = realm;
    this.bytes = bytes;
  }
}

/** The shapes of one template. */
export class RegisterShapes {
  readonly #shapes: RegisterShape[] = [];
  #next = 0;

  /** HOT. */
  find(
    userLength: number,
    digits: number,
    askedSec: number,
    kind: number,
    realm: Realm | undefined,
  ): RegisterShape | undefined {
    const shapes = this.#shapes;
    for (let n = 0; n < shapes.length; n++) {
      const shape = shapes[n]!;
      if (
        shape.userLength === userLength &&
        shape.digits === digits &&
        shape.askedSec === askedSec &&
        shape.kind === kind &&
        shape.realm === realm
      ) {
        return shape;
      }
    }
    return undefined;
  }

  add(shape: RegisterShape): void {
    this.#shapes[this.#next] = shape;
    this.#next = (this.#next + 1) % shapesMax;
  }
}
