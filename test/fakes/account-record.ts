import type { AccountRecord } from "../../src/base/records.ts";

/** An account of which only the name is said, and what is to be another way than mostly. */
export function accountRecord(
  said: Pick<AccountRecord, "accountId" | "username"> & Partial<AccountRecord>,
): AccountRecord {
  return {
    app: "com.example.phone",
    domain: "virtual.test",
    authUsername: undefined,
    displayName: undefined,
    proxy: undefined,
    alternateProxy: undefined,
    transport: "auto",
    expiresSec: 600,
    registrationMode: "alternate",
    learnedMode: undefined,
    natEmulation: false,
    instanceId: undefined,
    userAgent: undefined,
    forwardTo: undefined,
    version: 1,
    ...said,
  };
}
