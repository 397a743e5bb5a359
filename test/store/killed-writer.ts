import { writeSync } from "node:fs";
import { device, fields, newAccountId, open, password, subscription } from "./fixtures.ts";

/** Writes for ever, several at a time, and says what was acknowledged; to be killed. */
const [dataDir = ""] = process.argv.slice(2);
try {
  const store = await open(dataDir);
  const say = (line: string): void => void writeSync(1, `${line}\n`);
  const line = async (): Promise<never> => {
    for (;;) {
      const phone = device();
      await store.putDevice(phone);
      say(`device ${phone.deviceId}`);
      const [kept, removed] = [newAccountId(), newAccountId()];
      await store.createAccount(kept, fields(kept), password("p"), subscription(kept, phone.deviceId));
      say(`account ${kept}`);
      await store.createAccount(removed, fields(removed), password("p"), subscription(removed, phone.deviceId));
      await store.removeAccount(removed);
      say(`removed ${removed}`);
    }
  };
  await Promise.all(Array.from({ length: 5 }, line));
} catch (cause) {
  writeSync(2, `${cause instanceof Error ? cause.message : String(cause)}\n`);
  process.exit(1);
}
