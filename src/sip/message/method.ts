/** The methods Wakeline tells apart (RFC 3261 §7.1 and the IANA registry). Any other is `other` and passes as text. */
export const Method = {
  other: 0,
  invite: 1,
  ack: 2,
  bye: 3,
  cancel: 4,
  register: 5,
  options: 6,
  message: 7,
  notify: 8,
  subscribe: 9,
  publish: 10,
  info: 11,
  refer: 12,
  prack: 13,
  update: 14,
} as const;
export type MethodId = (typeof Method)[keyof typeof Method];

const names = [
  "",
  "INVITE",
  "ACK",
  "BYE",
  "CANCEL",
  "REGISTER",
  "OPTIONS",
  "MESSAGE",
  "NOTIFY",
  "SUBSCRIBE",
  "PUBLISH",
  "INFO",
  "REFER",
  "PRACK",
  "UPDATE",
] as const;

/** The method's name; "" for `other`. */
export function methodName(id: MethodId): string {
  return names[id];
}

// First letter (A–Z) to the ids that begin with it; at most two do.
const firstOf = new Uint8Array(256);
const secondOf = new Uint8Array(256);
for (let id = 1; id < names.length; id++) {
  const letter = names[id]!.charCodeAt(0);
  if (firstOf[letter] === 0) firstOf[letter] = id;
  else secondOf[letter] = id;
}

/** HOT. Methods are case-sensitive (RFC 3261 §7.1): `invite` is another method than `INVITE`. */
export function classifyMethod(bytes: Uint8Array, from: number, to: number): MethodId {
  const letter = bytes[from]!;
  const first = firstOf[letter]! as MethodId;
  if (first !== 0 && spells(bytes, from, to, names[first])) return first;
  const second = secondOf[letter]! as MethodId;
  if (second !== 0 && spells(bytes, from, to, names[second])) return second;
  return Method.other;
}

function spells(bytes: Uint8Array, from: number, to: number, name: string): boolean {
  if (to - from !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name.charCodeAt(i)) return false;
  return true;
}

/** The id of a method given as text. */
export function methodOf(name: string): MethodId {
  const id = names.indexOf(name as (typeof names)[number], 1);
  return (id > 0 ? id : Method.other) as MethodId;
}
