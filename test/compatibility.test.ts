import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** `file`: "name"; a name stands in its file as it is. */
function proofsOf(page: string): { readonly file: string; readonly name: string }[] {
  return [...readFileSync(join(root, page), "utf8").matchAll(/`(test\/[^`]+\.ts)`: "([^"]+)"/g)].map(
    ([, file = "", name = ""]) => ({ file, name }),
  );
}

test.each(["docs/compatibility.md", "docs/security.md"])("every proof that %s names is there", (page) => {
  const proofs = proofsOf(page);
  expect(proofs.length).toBeGreaterThan(50);
  const missing = proofs.filter(
    ({ file, name }) => !existsSync(join(root, file)) || !readFileSync(join(root, file), "utf8").includes(name),
  );
  expect(missing).toEqual([]);
});
