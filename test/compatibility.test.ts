import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** `file`: "name"; a name stands in its file as it is. */
const proofs = [
  ...readFileSync(join(root, "docs/compatibility.md"), "utf8").matchAll(/`(test\/[^`]+\.ts)`: "([^"]+)"/g),
].map(([, file = "", name = ""]) => ({ file, name }));

test("every proof that docs/compatibility.md names is there", () => {
  expect(proofs.length).toBeGreaterThan(50);
  const missing = proofs.filter(
    ({ file, name }) => !existsSync(join(root, file)) || !readFileSync(join(root, file), "utf8").includes(name),
  );
  expect(missing).toEqual([]);
});
