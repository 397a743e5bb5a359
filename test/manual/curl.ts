import { parseArgs } from "node:util";

/** As much of curl as the manual uses, for machines without it; unlike curl's, the exit code says whether the server was content. */
const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    silent: { type: "boolean", short: "s" },
    request: { type: "string", short: "X" },
    header: { type: "string", short: "H", multiple: true },
    data: { type: "string", short: "d" },
  },
});
const { request, header = [], data } = values;
const response = await fetch(positionals[0] ?? "", {
  method: request ?? (data === undefined ? "GET" : "POST"),
  headers: header.map((line): [string, string] => {
    const [name = "", value = ""] = line.split(/:\s*/, 2);
    return [name, value];
  }),
  ...(data === undefined ? {} : { body: data }),
});
process.stdout.write(await response.text());
process.exit(response.ok ? 0 : 22);
