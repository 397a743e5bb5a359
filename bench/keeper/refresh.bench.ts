/**
 * Claim: a refresh with the kept nonce costs the keeper at most 1.6 µs beside its two datagrams (5 µs a refresh in all, of which
 * the socket takes 3.4), a challenged registration at most 3.8 µs; 100,000 accounts of one profile, MD5, refreshed in no order.
 */
import { KeeperBed } from "./bed.ts";

const accounts = Number(Bun.env.ACCOUNTS ?? 100_000);
const bed = new KeeperBed(accounts);
const startNs = Bun.nanoseconds();
bed.bringIn();
console.log(`start with ${accounts} new accounts: ${((Bun.nanoseconds() - startNs) / 1e6).toFixed(0)} ms`);

const sums = { send: 0, sent: 0, challenge: 0, challenged: 0, accept: 0, accepted: 0 };
while (sums.accepted < accounts) {
  bed.clock.atMs += 1;
  const from = Bun.nanoseconds();
  bed.keeper.tick(bed.clock.nowMs());
  sums.send += Bun.nanoseconds() - from;
  sums.sent += bed.network.count;
  const challenges = bed.answers();
  sums.challenge += bed.handle(challenges) * challenges.count;
  sums.challenged += challenges.count;
  const accepts = bed.answers();
  sums.accept += bed.handle(accepts) * accepts.count;
  sums.accepted += accepts.count;
}
const each = (total: number, count: number): string => `${(total / count).toFixed(0)} ns`;
console.log(`first REGISTER: wait in line, write, queue: ${each(sums.send, sums.sent)} (${sums.sent} by the tick)`);
console.log(`401: read, compute HA1 and answer, write, queue: ${each(sums.challenge, sums.challenged)}`);
console.log(`200: read, settle, schedule, begin the next in line: ${each(sums.accept, sums.accepted)}`);

for (let round = 0; round < Number(Bun.env.ROUNDS ?? 3); round++) {
  let tickNs = 0;
  let handleNs = 0;
  let count = 0;
  let worstTickNs = 0;
  const until = bed.clock.atMs + 3_600_000;
  while (bed.clock.atMs < until) {
    bed.clock.atMs += Number(Bun.env.STEP ?? 1000);
    const from = Bun.nanoseconds();
    bed.keeper.tick(bed.clock.nowMs());
    const took = Bun.nanoseconds() - from;
    tickNs += took;
    if (took > worstTickNs) worstTickNs = took;
    while (bed.network.count > 0) {
      const answers = bed.answers();
      handleNs += bed.handle(answers) * answers.count;
      count += answers.count;
    }
  }
  console.log(
    `an hour of ${count} refreshes: tick, write, queue ${each(tickNs, count)}; handle 200 ${each(handleNs, count)}; worst tick ${(worstTickNs / 1e6).toFixed(2)} ms`,
  );
}

const again = Bun.nanoseconds();
bed.keeper = bed.make();
bed.bringIn();
console.log(`restart on the same columns: ${((Bun.nanoseconds() - again) / 1e6).toFixed(0)} ms`);
