import { afterEach } from "bun:test";

/** What a test has opened: pushed here, it is closed behind that test, the newest first. Call it once a file, at its top. */
export function closedAfterEach(): (() => unknown)[] {
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });
  return closing;
}
