/**
 * `bun run build [--target bun-linux-arm64] [--outfile dist/wakeline]`: one executable with workers, page and docs inside.
 * Identifiers are not minified: Elysia reads the source of its handlers.
 */
import { parseArgs } from "node:util";
import type { BunPlugin } from "bun";

const { values } = parseArgs({
  options: { target: { type: "string" }, outfile: { type: "string", default: "dist/wakeline" } },
});

/**
 * The program and its pages are bundled together, and Bun 1.4.5 remembers one place for `debug` whichever half asks first: JsSIP, which runs
 * in the browser, then gets the half that needs `node:tty`, and the build fails on most runs but not on all. Here each half gets its own.
 */
const debugForBrowsers: BunPlugin = {
  name: "debug-for-browsers",
  setup(build) {
    build.onResolve({ filter: /^debug$/ }, ({ importer }) =>
      /[\\/]jssip[\\/]/.test(importer) ? { path: Bun.resolveSync("debug/src/browser.js", importer) } : undefined,
    );
  },
};

await Bun.build({
  entrypoints: ["src/main.ts", "src/workers/shard.ts", "src/workers/store.ts"],
  compile: {
    outfile: values.outfile,
    ...(values.target === undefined ? {} : { target: values.target as Bun.Build.CompileTarget }),
  },
  minify: { syntax: true, whitespace: true },
  bytecode: true,
  format: "esm",
  plugins: [debugForBrowsers],
});
console.log(`${values.outfile}  ${Math.round(Bun.file(values.outfile).size / 1e6)} MB`);
