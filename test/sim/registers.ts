import type { Heard, Reply, VirtualRegistrar } from "../fakes/virtual-registrar.ts";

interface Spoken {
  readonly atMs: number;
  readonly status: number;
  readonly hasCredentials: boolean;
}

/** src/keeper promises one REGISTER in this time, answers to challenges apart. */
const floorMs = 5_000;

/** Writes down what the registrar hears of each user, and says where manners were lacking. */
export class RegisterWatch {
  readonly #byUser = new Map<string, Spoken[]>();
  /** Users for whom somebody pressed a switch, and when: such a REGISTER goes at once. */
  readonly #excused = new Map<string, number[]>();

  watch(registrar: VirtualRegistrar): void {
    registrar.behaviour = (heard: Heard): Reply => {
      const reply = registrar.own(heard);
      const spoken = this.#byUser.get(heard.user) ?? [];
      spoken.push({
        atMs: heard.atMs,
        status: reply.status,
        hasCredentials: heard.authorization !== undefined,
      });
      this.#byUser.set(heard.user, spoken);
      return reply;
    };
  }

  excuse(user: string, atMs: number): void {
    const times = this.#excused.get(user) ?? [];
    times.push(atMs);
    this.#excused.set(user, times);
  }

  /** REGISTERs of users since a time, but for those that were pressed into one. */
  since(fromMs: number): { readonly user: string; readonly atMs: number }[] {
    const found: { readonly user: string; readonly atMs: number }[] = [];
    for (const [user, spoken] of this.#byUser) {
      if (this.#isExcused(user, fromMs - 60_000, Infinity)) continue;
      for (const { atMs } of spoken) if (atMs >= fromMs) found.push({ user, atMs });
    }
    return found;
  }

  /** `jitterMs`: how much the network may push two requests together. */
  judge(jitterMs: number, complain: (rule: string, text: string) => void): void {
    for (const [user, spoken] of this.#byUser) {
      let challenges = 0;
      for (const [at, one] of spoken.entries()) {
        const before = spoken[at - 1];
        if (before === undefined) continue;
        const isChallenged = before.status === 401 || before.status === 407;
        challenges = isChallenged && one.hasCredentials ? challenges + 1 : 0;
        if (challenges > 2) complain("two answers to challenges", `${user} at ${Math.round(one.atMs)}`);
        if (isChallenged && one.hasCredentials) continue;
        const gapMs = one.atMs - before.atMs;
        if (gapMs < floorMs - jitterMs && !this.#isExcused(user, before.atMs - 1_000, one.atMs + 1)) {
          complain("a REGISTER in 5 s", `${user}: ${Math.round(gapMs)} ms at ${Math.round(one.atMs)}`);
        }
      }
    }
  }

  #isExcused(user: string, fromMs: number, toMs: number): boolean {
    return (this.#excused.get(user) ?? []).some((atMs) => atMs >= fromMs && atMs <= toMs);
  }
}
