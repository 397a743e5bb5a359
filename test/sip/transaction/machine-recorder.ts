/** Takes the actions of any of the four machines and writes them down. */
export class MachineRecorder {
  readonly reliable: boolean;
  #done: string[] = [];

  constructor(reliable: boolean) {
    this.reliable = reliable;
  }

  /** What was done since the last call. */
  take(): string[] {
    const done = this.#done;
    this.#done = [];
    return done;
  }

  send(): void {
    this.#done.push("send");
  }
  acknowledge(): void {
    this.#done.push("ack");
  }
  passUp(): void {
    this.#done.push("up");
  }
  timedOut(): void {
    this.#done.push("timed out");
  }
  transportFailed(): void {
    this.#done.push("transport failed");
  }
  answer(): void {
    this.#done.push("answer");
  }
  resend(): void {
    this.#done.push("resend");
  }
  sendTrying(): void {
    this.#done.push("100");
  }
  passAckUp(): void {
    this.#done.push("ack up");
  }
  ackTimedOut(): void {
    this.#done.push("ack timed out");
  }
  arm(timer: string, afterMs: number): void {
    this.#done.push(`${timer} ${afterMs}`);
  }
}
