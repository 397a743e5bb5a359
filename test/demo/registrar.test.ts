import { expect, test } from "bun:test";
import { DemoRegistrar } from "../../src/demo/registrar.ts";
import { DemoUa, type UaCall } from "../../src/demo/ua.ts";

const domain = "demo.example";
const passwords = new Map([
  ["alice", "a"],
  ["bob", "b"],
]);

/** A plain phone on a UDP port of its own, registered. */
async function openPhone(
  user: string,
  registrar: { readonly host: string; readonly port: number },
  onCall: (call: UaCall) => void = () => {},
) {
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_socket, bytes) => ua.receive(bytes) },
  });
  const ua = new DemoUa({
    user,
    domain,
    password: passwords.get(user) ?? "",
    sentBy: () => `UDP 127.0.0.1:${socket.port}`,
    contact: () => `sip:${user}@127.0.0.1:${socket.port}`,
    isReliable: false,
    send: (text) => void socket.send(Buffer.from(text, "latin1"), registrar.port, registrar.host),
    onCall,
  });
  await ua.register(60);
  return {
    ua,
    close: () => {
      ua.close();
      socket.close();
    },
  };
}

test("the demo's registrar says for whom each message passed: what it hears is its sender's, what it says its receiver's", async () => {
  const heard: string[] = [];
  const registrar = await DemoRegistrar.open({
    host: "127.0.0.1",
    port: 0,
    domain,
    passwords,
    onMessage: ({ direction, firstLine, user }) => {
      heard.push(`${direction} ${user} ${/^SIP\/2\.0 (\d+)/.exec(firstLine)?.[1] ?? firstLine.split(" ")[0]}`);
    },
  });
  const ringing = Promise.withResolvers<UaCall>();
  const bob = await openPhone("bob", registrar, ringing.resolve);
  const alice = await openPhone("alice", registrar);
  expect(heard.slice(0, 4)).toEqual(["in bob REGISTER", "out bob 401", "in bob REGISTER", "out bob 200"]);
  const call = alice.ua.call("bob");
  const atBob = await ringing.promise;
  atBob.acts.ring();
  await call.until("provisional", ({ status }) => status === 180);
  atBob.acts.answer();
  await atBob.until("answered");
  // The one who was called hangs up.
  atBob.acts.bye();
  await call.until("ended");
  await atBob.until("ended");
  for (const line of ["in alice INVITE", "out alice 407", "out bob INVITE", "in bob 180", "out alice 180"])
    expect(heard).toContain(line);
  for (const line of ["in bob BYE", "out alice BYE", "in alice 200", "out bob 200"]) expect(heard).toContain(line);
  expect(heard.filter((line) => /^(?:out bob 180|in alice 180|in alice BYE|out bob BYE)$/.test(line))).toEqual([]);
  for (const phone of [alice, bob]) phone.close();
  registrar.close();
});
