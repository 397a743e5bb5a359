import type { RegistrationMode } from "../base/records.ts";

/** Persisted flags of a row. */
export const Flag = {
  /** The account is to be registered. */
  wanted: 1 << 8,
  /** The registrar said that our binding is there until `expiresMs`. */
  bound: 1 << 9,
  /** To be un-REGISTERed and forgotten. */
  removing: 1 << 10,
  /** Holds the binding of an account's former identity; not that account's row any more. */
  farewell: 1 << 11,
  /** The registrar refused this version of the account; only a change, an operator or a day's wait tries it again. */
  denied: 1 << 12,
  /** The registrar dislikes extensions: no Supported, no reg-id. */
  plain: 1 << 13,
  /** `realm` holds the tag of the realm that the first success was under. */
  realmKnown: 1 << 14,
  /** Two bits: the weakest digest algorithm that may be answered. */
  algorithmFloor: 3 << 17,
  /** Two bits: the account's registration mode, a number of ModeId. */
  mode: 3 << 19,
  /** The registrar has listed our Contact with its line token: one without it is not ours. */
  keepsLine: 1 << 21,
  /** The registrar has refused a second binding, and does not take phone and stand-in for one device: ours must go before the phone's can come. */
  keepsOut: 1 << 22,
} as const;
export const algorithmShift = 17;
export const modeShift = 19;

/** Registration modes as they stand in columns. */
export const ModeId = { auto: 0, alternate: 1, continuous: 2, singleDevice: 3 } as const;
export type ModeNumber = (typeof ModeId)[keyof typeof ModeId];
const modeNames = ["auto", "alternate", "continuous", "singleDevice"] as const;

export function modeNumber(mode: RegistrationMode): ModeNumber {
  return ModeId[mode];
}
export function modeName(mode: ModeNumber): RegistrationMode {
  return modeNames[mode];
}
