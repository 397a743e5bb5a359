import { Counter as PromCounter, Gauge, Histogram, Registry } from "prom-client";
import type { RegistrationState } from "../base/records.ts";
import { Counter, type CounterName, type Lane } from "./lanes.ts";
import { worstStrain } from "./strain.ts";
import { WakeFigures, wakeSteps, type WakeStep, type WakeSummary } from "./wake-figures.ts";

/** Where on the main thread a fault was caught; the shards count theirs in their lanes. */
export type FaultPlace = "http" | "tunnel" | "dispatch" | "operator" | "sweep";

/** From a warm HTTP/2 push (a millisecond) to the longest wake deadline anybody sets. */
const wakeBucketsSec = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60];
const receiptBucketsSec = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60, 300];

/** Known beforehand, so that each begins at 0: of a series that begins at 1 Prometheus sees no increase. */
const pushProviders = ["apns", "fcm", "webpush", "webhook"];
const pushOutcomes = ["accepted", "tokenDead", "retry", "refused"];
const alarmKinds = [
  ...pushProviders.map((provider) => `push_${provider}`),
  "push_flood",
  "receipts_stopped",
  "priority_lowered",
  "registrar_realm",
  "registrar_certificate",
];

const registrationStates = {
  idle: "registrationsIdle",
  registering: "registrationsRegistering",
  registered: "registrationsRegistered",
  retrying: "registrationsRetrying",
  refused: "registrationsRefused",
  unregistering: "registrationsUnregistering",
} as const satisfies Record<RegistrationState, CounterName>;

const registerAnswers = {
  "1xx": "registerAnswers1xx",
  "200": "registerAnswers200",
  "301": "registerAnswers301",
  "302": "registerAnswers302",
  "401": "registerAnswers401",
  "403": "registerAnswers403",
  "404": "registerAnswers404",
  "407": "registerAnswers407",
  "408": "registerAnswers408",
  "423": "registerAnswers423",
  "480": "registerAnswers480",
  "500": "registerAnswers500",
  "503": "registerAnswers503",
  other: "registerAnswersOther",
} as const satisfies Record<string, CounterName>;

const callOutcomes = {
  answered: "callsAnswered",
  answeredElsewhere: "callsAnsweredElsewhere",
  cancelled: "callsCancelled",
  missed: "callsMissed",
  refused: "callsRefused",
  unreachable: "callsUnreachable",
} as const satisfies Record<string, CounterName>;

const shardFaults = {
  datagram: "faultsDatagram",
  command: "faultsCommand",
  tick: "faultsTick",
} as const satisfies Record<string, CounterName>;
const datagrams = { in: "datagramsIn", out: "datagramsOut" } as const satisfies Record<string, CounterName>;
const streamMessages = { in: "streamMessagesIn", out: "streamMessagesOut" } as const satisfies Record<
  string,
  CounterName
>;

/** Counters of the lanes that stand alone, without a label: metric name, help, lane counter. */
const plainCounters: readonly (readonly [string, string, CounterName])[] = [
  ["wakeline_register_sent_total", "REGISTER requests sent, retransmissions not counted", "registerSent"],
  ["wakeline_register_retransmitted_total", "REGISTER requests sent again by a timer", "registerRetransmitted"],
  ["wakeline_register_lapsed_total", "Bindings that expired before they were renewed", "registerLapsed"],
  ["wakeline_register_refreshed_total", "Bindings renewed", "registerRefreshed"],
  ["wakeline_register_timeouts_total", "REGISTER transactions without a final answer", "registerTimeouts"],
  ["wakeline_outbound_calls_total", "Calls that phones made through a tunnel", "callsOutbound"],
  ["wakeline_calls_shed_total", "New calls answered 503 because a thread does not keep up", "callsShed"],
  ["wakeline_sends_dropped_total", "Messages that a full socket did not take", "sendsDropped"],
  ["wakeline_malformed_dropped_total", "Messages dropped because they were no SIP", "malformedDropped"],
  ["wakeline_unmatched_dropped_total", "Messages dropped because nothing here awaits them", "unmatchedDropped"],
];

/** Gauges of one shard each: metric name, help, lane counter, divisor to the metric's unit. */
const shardGauges: readonly (readonly [string, string, CounterName, number])[] = [
  ["wakeline_shard_registered", "Registrations held by this shard", "registrationsRegistered", 1],
  ["wakeline_shard_calls_running", "Calls that this shard relays now", "callsRunning", 1],
  ["wakeline_shard_loop_delay_seconds", "How late this shard's timers run", "loopDelayMs", 1_000],
];

/** Value of the label, and what it reads now. */
type Readings = readonly (readonly [string, number])[];

/**
 * All figures of the process in Prometheus text form. The shards' counters are read from their lanes when the text is asked
 * for; what the main thread counts is kept here. Names are part of the outside interface.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #lanes: readonly Lane[];
  readonly #wake: Histogram<"step">;
  readonly #receipt: Histogram<"provider">;
  readonly #push: PromCounter<"provider" | "outcome">;
  readonly #pushSeconds: Histogram<"provider">;
  readonly #alarms: PromCounter<"kind">;
  readonly #http: PromCounter<"status">;
  readonly #wakes = new WakeFigures();
  /** As many as there are providers: the gateway knows four. */
  readonly #wakesByProvider = new Map<string, WakeFigures>();
  readonly #faults: Record<FaultPlace, number> = { http: 0, tunnel: 0, dispatch: 0, operator: 0, sweep: 0 };
  readonly #main: Lane | undefined;
  #requestsShed = 0;
  #tunnels: () => number = () => 0;
  #restarts: () => number = () => 0;

  /** `lanes`: one a shard, in shard order. `main`: the main thread's, for its strain. */
  constructor(options: { readonly lanes: readonly Lane[]; readonly main?: Lane; readonly startedAtMs: number }) {
    this.#lanes = options.lanes;
    this.#main = options.main;
    const registers = [this.#registry];
    this.#wake = new Histogram({
      name: "wakeline_wake_seconds",
      help: "Time of each step from INVITE to answer",
      labelNames: ["step"],
      buckets: wakeBucketsSec,
      registers,
    });
    for (const step of wakeSteps) this.#wake.zero({ step });
    this.#receipt = new Histogram({
      name: "wakeline_push_receipt_seconds",
      help: "Time from a push to the phone's receipt of it",
      labelNames: ["provider"],
      buckets: receiptBucketsSec,
      registers,
    });
    this.#push = new PromCounter({
      name: "wakeline_push_total",
      help: "Pushes by provider and outcome",
      labelNames: ["provider", "outcome"],
      registers,
    });
    for (const provider of pushProviders) for (const outcome of pushOutcomes) this.#push.inc({ provider, outcome }, 0);
    this.#pushSeconds = new Histogram({
      name: "wakeline_push_seconds",
      help: "Time a provider took to answer a push",
      labelNames: ["provider"],
      buckets: wakeBucketsSec,
      registers,
    });
    this.#alarms = new PromCounter({
      name: "wakeline_alarms_total",
      help: "Conditions worth an operator's attention",
      labelNames: ["kind"],
      registers,
    });
    for (const kind of alarmKinds) this.#alarms.inc({ kind }, 0);
    this.#http = new PromCounter({
      name: "wakeline_http_responses_total",
      help: "Answers of the public listener by status class",
      labelNames: ["status"],
      registers,
    });
    this.#defineFromLanes();
    this.#defineProcess(options.startedAtMs);
  }

  /** Where the figures of others are read from when asked for. */
  watch(sources: { readonly tunnels?: () => number; readonly restarts?: () => number }): void {
    if (sources.tunnels !== undefined) this.#tunnels = sources.tunnels;
    if (sources.restarts !== undefined) this.#restarts = sources.restarts;
  }

  /** A device is about to be woken. */
  wakeBegan(provider: string): void {
    this.#wakes.began();
    this.#wakesOf(provider).began();
  }

  /** A negative duration (a clock that was set back) counts as 0. */
  wakeStep(step: WakeStep, durationMs: number, provider?: string): void {
    const ms = Math.max(0, durationMs);
    this.#wake.observe({ step }, ms / 1_000);
    this.#wakes.step(step, ms);
    if (provider !== undefined) this.#wakesOf(provider).step(step, ms);
  }

  /** Median and 99th percentile in ms of the latest wakes, by step; a step that never happened is absent. */
  wakeFigures(): Partial<Record<WakeStep, { readonly p50Ms: number; readonly p99Ms: number }>> {
    return Object.fromEntries(
      Object.entries(this.#wakes.summary().steps).map(([step, { p50Ms, p99Ms }]) => [step, { p50Ms, p99Ms }]),
    );
  }

  /** How often each step has happened since the start. */
  wakeCounts(): Readonly<Record<WakeStep, number>> {
    return Object.fromEntries(wakeSteps.map((step) => [step, this.#wakes.count(step)])) as Record<WakeStep, number>;
  }

  /** The same by the provider that carried the push. */
  wakesByProvider(): Readonly<Record<string, WakeSummary>> {
    return Object.fromEntries([...this.#wakesByProvider].map(([provider, wakes]) => [provider, wakes.summary()]));
  }

  #wakesOf(provider: string): WakeFigures {
    const known = this.#wakesByProvider.get(provider);
    if (known !== undefined) return known;
    const made = new WakeFigures();
    this.#wakesByProvider.set(provider, made);
    return made;
  }

  receipt(provider: string, latencyMs: number): void {
    this.#receipt.observe({ provider }, Math.max(0, latencyMs) / 1_000);
  }

  /** What the push gateway counts into. */
  readonly pushes = {
    outcome: (provider: string, outcome: string): void => this.#push.inc({ provider, outcome }),
    seconds: (provider: string, seconds: number): void => this.#pushSeconds.observe({ provider }, seconds),
    alarm: (_app: string, provider: string, _reason: string): void => this.alarm(`push_${provider}`),
  };

  alarm(kind: string): void {
    this.#alarms.inc({ kind });
  }

  httpResponse(status: number): void {
    this.#http.inc({ status: `${Math.trunc(status / 100)}xx` });
  }

  /** A request was refused because a thread does not keep up. */
  requestShed(): void {
    this.#requestsShed++;
  }

  /** A level of `StrainLevel`, of the thread that is worst off. */
  strain(): number {
    return worstStrain(this.#main === undefined ? this.#lanes : [...this.#lanes, this.#main]);
  }

  fault(where: FaultPlace): void {
    this.#faults[where]++;
  }

  /** Sum of a counter over all shards. */
  sum(name: CounterName): number {
    const slot = Counter[name];
    return this.#lanes.reduce((sum, lane) => sum + lane.get(slot), 0);
  }

  registrations(): Record<keyof typeof registrationStates, number> {
    return mapValues(registrationStates, (name) => this.sum(name));
  }

  calls(): Record<keyof typeof callOutcomes, number> {
    return mapValues(callOutcomes, (name) => this.sum(name));
  }

  /** Figures of each shard, in shard order. */
  perShard(): readonly { readonly registered: number; readonly callsRunning: number; readonly loopDelayMs: number }[] {
    return this.#lanes.map((lane) => ({
      registered: lane.get(Counter.registrationsRegistered),
      callsRunning: lane.get(Counter.callsRunning),
      loopDelayMs: lane.get(Counter.loopDelayMs),
    }));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #defineFromLanes(): void {
    const read = (values: Readonly<Record<string, CounterName>>) => (): Readings =>
      Object.entries(values).map(([value, name]) => [value, this.sum(name)]);
    this.#define("gauge", "wakeline_registrations", "Registrations by state", "state", read(registrationStates));
    this.#define(
      "counter",
      "wakeline_register_answers_total",
      "Answers to REGISTER by status",
      "status",
      read(registerAnswers),
    );
    this.#define("counter", "wakeline_calls_total", "Inbound calls by outcome", "outcome", read(callOutcomes));
    this.#define("counter", "wakeline_datagrams_total", "UDP datagrams by direction", "direction", read(datagrams));
    this.#define(
      "counter",
      "wakeline_stream_messages_total",
      "SIP messages over TCP and TLS",
      "direction",
      read(streamMessages),
    );
    this.#define(
      "counter",
      "wakeline_faults_total",
      "Faults caught at a boundary, bugs of this program: 0 is right",
      "where",
      () => [...read(shardFaults)(), ...Object.entries(this.#faults)],
    );
    for (const [name, help, counter] of plainCounters) this.#defineOne("counter", name, help, () => this.sum(counter));
    for (const [name, help, counter, divisor] of shardGauges) {
      this.#define("gauge", name, help, "shard", () =>
        this.#lanes.map((lane, shard) => [String(shard), lane.get(Counter[counter]) / divisor]),
      );
    }
    this.#defineOne(
      "gauge",
      "wakeline_main_loop_delay_seconds",
      "How late the main thread's timers run",
      () => (this.#main?.get(Counter.loopDelayMs) ?? 0) / 1_000,
    );
    this.#defineOne(
      "gauge",
      "wakeline_strain",
      "0 keeps up, 1 sheds new devices and subscriptions, 2 new calls too",
      () => this.strain(),
    );
    this.#defineOne(
      "counter",
      "wakeline_requests_shed_total",
      "New devices and subscriptions answered 503 because a thread does not keep up",
      () => this.#requestsShed,
    );
    this.#defineOne("gauge", "wakeline_calls_running", "Calls relayed now", () => this.sum("callsRunning"));
  }

  #defineProcess(startedAtMs: number): void {
    this.#defineOne("gauge", "wakeline_tunnels", "Open tunnels", () => this.#tunnels());
    this.#defineOne("counter", "wakeline_shard_restarts_total", "Shard workers started again after they died", () =>
      this.#restarts(),
    );
    this.#defineOne("gauge", "process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());
    this.#defineOne("counter", "process_cpu_seconds_total", "CPU time, user and system", () => {
      const used = process.cpuUsage();
      return (used.user + used.system) / 1e6;
    });
    this.#defineOne("gauge", "process_start_time_seconds", "Unix time of the start", () => startedAtMs / 1_000);
  }

  /** A metric whose values are read elsewhere each time the text is asked for. */
  #define(type: "gauge" | "counter", name: string, help: string, label: string, read: () => Readings): void {
    const shared = { name, help, labelNames: [label], registers: [] };
    this.#registry.registerMetric(
      type === "gauge"
        ? new Gauge({
            ...shared,
            collect() {
              for (const [value, reading] of read()) this.set({ [label]: value }, reading);
            },
          })
        : new PromCounter({
            ...shared,
            collect() {
              this.reset();
              for (const [value, reading] of read()) this.inc({ [label]: value }, reading);
            },
          }),
    );
  }

  #defineOne(type: "gauge" | "counter", name: string, help: string, read: () => number): void {
    const shared = { name, help, registers: [] };
    this.#registry.registerMetric(
      type === "gauge"
        ? new Gauge({
            ...shared,
            collect() {
              this.set(read());
            },
          })
        : new PromCounter({
            ...shared,
            collect() {
              this.reset();
              this.inc(read());
            },
          }),
    );
  }
}

function mapValues<Key extends string, From, To>(
  record: Readonly<Record<Key, From>>,
  map: (value: From) => To,
): Record<Key, To> {
  return Object.fromEntries(Object.entries<From>(record).map(([key, value]) => [key, map(value)])) as Record<Key, To>;
}
