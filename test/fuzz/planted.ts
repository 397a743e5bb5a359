/** A fault three conditions deep, which chance alone does not find: what guidance is measured by. Takes the place of check.ts. */
export function checkPromises(bytes: Uint8Array): void {
  const text = Buffer.from(bytes).toString("latin1");
  if (!text.includes("__proto__")) return;
  if (!text.includes("18446744073709551616")) return;
  if (text.includes("SIP/3.0")) throw new Error("the planted fault");
}
