/**
 * `bun run build [--target bun-linux-arm64] [--outfile dist/wakeline]`: one executable with workers, page and docs inside.
 * `--minify-identifiers` stays off: Elysia reads the source of its handlers.
 */
import { parseArgs } from "node:util";
import { $ } from "bun";

const { values } = parseArgs({
  options: { target: { type: "string" }, outfile: { type: "string", default: "dist/wakeline" } },
});

const entries = ["src/main.ts", "src/workers/shard.ts", "src/workers/store.ts"];
const target = values.target === undefined ? [] : [`--target=${values.target}`];
await $`bun build --compile --minify-syntax --minify-whitespace --bytecode --format=esm ${target} --outfile ${values.outfile} ${entries}`;
