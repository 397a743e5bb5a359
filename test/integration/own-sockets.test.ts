import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Lab } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

describe("an account whose server would be Wakeline itself, egress_allow 127.0.0.0/8", () => {
  test("is refused with the reason, whichever shard's port it names", async () => {
    expect(lab.sipPorts).toHaveLength(2);
    for (const port of lab.sipPorts) {
      // Four accounts: by chance they are all one shard's once in eight runs, and both ports are tried.
      for (let n = 0; n < 4; n++) {
        const phone = await lab.phone();
        await phone.subscribes(lab.account({ proxy: `localhost:${port}` }));
        const { body } = await phone.presence("background");
        expect(body.registration).toMatchObject({ state: "refused", lastReason: "this is Wakeline itself" });
      }
    }
  });

  test("is refused at the door when it is named by address, HTTP and operator listener too", async () => {
    const phone = await lab.phone();
    for (const port of [...lab.sipPorts, lab.httpPort, lab.operatorPort]) {
      const { status, body } = await phone.subscribes(lab.account({ proxy: `127.0.0.1:${port}` }));
      expect(status).toBe(422);
      expect(body.errors).toMatchObject([{ field: "account.proxy", detail: "this is Wakeline itself" }]);
    }
  });
});
