/**
 * Counters of one worker: a lane of Float64 in a SharedArrayBuffer. A lane has one writer (its worker); the main thread
 * adds the lanes up when metrics are asked for.
 */
const counterNames = [
  "registrationsIdle",
  "registrationsRegistering",
  "registrationsRegistered",
  "registrationsRetrying",
  "registrationsRefused",
  "registrationsUnregistering",
  "registerSent",
  "registerRetransmitted",
  "registerLapsed",
  "registerRefreshed",
  "registerAnswers1xx",
  "registerAnswers200",
  "registerAnswers301",
  "registerAnswers302",
  "registerAnswers401",
  "registerAnswers403",
  "registerAnswers404",
  "registerAnswers407",
  "registerAnswers408",
  "registerAnswers423",
  "registerAnswers480",
  "registerAnswers500",
  "registerAnswers503",
  "registerAnswersOther",
  "registerTimeouts",
  "callsAnswered",
  "callsAnsweredElsewhere",
  "callsCancelled",
  "callsMissed",
  "callsRefused",
  "callsUnreachable",
  "callsOutbound",
  "callsRunning",
  "datagramsIn",
  "datagramsOut",
  "streamMessagesIn",
  "streamMessagesOut",
  "sendsDropped",
  "malformedDropped",
  "unmatchedDropped",
  "faultsDatagram",
  "faultsCommand",
  "faultsTick",
  "loopDelayMs",
  "strain",
  "callsShed",
] as const;

export type CounterName = (typeof counterNames)[number];

/** Slot of each counter in a lane. */
export const Counter = Object.freeze(Object.fromEntries(counterNames.map((name, slot) => [name, slot]))) as Readonly<
  Record<CounterName, number>
>;

const counterCount = counterNames.length;

/** One worker's lane. Gauges use `set`, counters `add`. */
export class Lane {
  readonly #slots: Float64Array;

  /** `buffer`: shared memory of all lanes; `lane`: which one is ours. */
  constructor(buffer: SharedArrayBuffer | ArrayBuffer, lane: number) {
    this.#slots = new Float64Array(buffer, lane * counterCount * 8, counterCount);
  }

  static bytes(lanes: number): number {
    return lanes * counterCount * 8;
  }

  add(slot: number, n: number): void {
    this.#slots[slot]! += n;
  }

  set(slot: number, value: number): void {
    this.#slots[slot] = value;
  }

  get(slot: number): number {
    return this.#slots[slot]!;
  }
}
