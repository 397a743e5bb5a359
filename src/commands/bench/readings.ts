/** One reading of a server's metrics: values by metric name with its labels, as they stand in the text. */
export class Readings {
  readonly atMs: number;
  readonly #values: ReadonlyMap<string, number>;

  private constructor(values: ReadonlyMap<string, number>, atMs: number) {
    this.#values = values;
    this.atMs = atMs;
  }

  /** Prometheus text form; lines that are none are passed over. */
  static parse(text: string, atMs: number): Readings {
    const values = new Map<string, number>();
    for (const line of text.split("\n")) {
      const space = line.lastIndexOf(" ");
      if (line.startsWith("#") || space < 0) continue;
      values.set(line.slice(0, space), Number(line.slice(space + 1)));
    }
    return new Readings(values, atMs);
  }

  /** 0 when the metric is not there. */
  get(name: string): number {
    return this.#values.get(name) ?? 0;
  }

  /** Largest value of a metric over its labels. */
  largest(name: string): number {
    let largest = 0;
    for (const [key, value] of this.#values) if (key.startsWith(`${name}{`)) largest = Math.max(largest, value);
    return largest;
  }

  get registered(): number {
    return this.get('wakeline_registrations{state="registered"}');
  }
  get refused(): number {
    return this.get('wakeline_registrations{state="refused"}');
  }
  get refreshes(): number {
    return this.get("wakeline_register_refreshed_total");
  }
  get lapsed(): number {
    return this.get("wakeline_register_lapsed_total");
  }
  get sent(): number {
    return this.get("wakeline_register_sent_total");
  }
  get retransmissions(): number {
    return this.get("wakeline_register_retransmitted_total");
  }
  get sendsDropped(): number {
    return this.get("wakeline_sends_dropped_total");
  }
  get cpuUs(): number {
    return this.get("process_cpu_seconds_total") * 1e6;
  }
  get residentBytes(): number {
    return this.get("process_resident_memory_bytes");
  }
  get mainLoopDelayMs(): number {
    return this.get("wakeline_main_loop_delay_seconds") * 1_000;
  }
  get loopDelayMs(): number {
    return this.largest("wakeline_shard_loop_delay_seconds") * 1_000;
  }
}
