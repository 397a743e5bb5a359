import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Lane } from "../../src/observe/lanes.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { alerts, alertTestsFile, dashboard, type Expression, expressions, namesIn } from "./promql.ts";

type Labels = ReadonlyMap<string, ReadonlySet<string>>;

/** What /metrics gives once everything has happened: series → label → values. */
async function given(): Promise<ReadonlyMap<string, Labels>> {
  const metrics = new Metrics({ lanes: [new Lane(new SharedArrayBuffer(Lane.bytes(1)), 0)], startedAtMs: 0 });
  metrics.receipt("fcm", 1);
  metrics.pushes.seconds("fcm", 1);
  metrics.httpResponse(200);
  const series = new Map<string, Map<string, Set<string>>>();
  for (const line of (await metrics.text()).split("\n")) {
    const [, name, labels = ""] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined || line.startsWith("#")) continue;
    const known = series.get(name) ?? new Map<string, Set<string>>();
    for (const [, label = "", value = ""] of labels.matchAll(/(\w+)="([^"]*)"/g)) {
      known.set(label, (known.get(label) ?? new Set()).add(value));
    }
    series.set(name, known);
  }
  series.set("up", new Map());
  return series;
}

const series = await given();
/** Prometheus itself adds these. */
const scraped = ["job", "instance"];

/** What in an expression /metrics does not give. */
function faultsOf({ where, expr, shown }: Expression): readonly string[] {
  const faults: string[] = [];
  const labels = new Set(scraped);
  for (const [, name = "", matchers = ""] of expr.matchAll(/\b((?:wakeline|process)_\w+|up)\b(?:\{([^}]*)\})?/g)) {
    const known = series.get(name);
    if (known === undefined) faults.push(`${where}: there is no ${name}`);
    for (const label of known?.keys() ?? []) labels.add(label);
    for (const [, label = "", operator = "", value = ""] of matchers.matchAll(/(\w+)(=~|=)"([^"]*)"/g)) {
      if (scraped.includes(label)) continue;
      const values = [...(known?.get(label) ?? [])];
      const wanted = operator === "=" ? [value] : value.split("|");
      for (const one of wanted) {
        if (!values.some((each) => (operator === "=" ? each === one : new RegExp(`^(?:${one})$`).test(each))))
          faults.push(`${where}: ${name} has no ${label}="${one}"`);
      }
    }
  }
  const named = namesIn(expr, /\b(?:by|without) ?\(([^)]*)\)/g).flatMap((list) => list.split(/, */));
  for (const label of [...named, ...shown]) if (!labels.has(label)) faults.push(`${where}: no series has ${label}`);
  return faults;
}

test("alert rules and dashboard name only metrics, labels and values that /metrics gives", () => {
  const all = expressions();
  expect(all.length).toBeGreaterThan(40);
  expect(all.flatMap(faultsOf)).toEqual([]);
});

test("a metric, a label and a value that are not given are found", () => {
  const fault = (expr: string, shown: readonly string[] = []): readonly string[] =>
    faultsOf({ where: "x", expr, shown });
  expect(fault("rate(wakeline_no_such_total[5m])")).toEqual(["x: there is no wakeline_no_such_total"]);
  expect(fault('wakeline_registrations{state="gone"}')).toEqual(['x: wakeline_registrations has no state="gone"']);
  expect(fault('wakeline_registrations{state=~"idle|gone"}')).toEqual([
    'x: wakeline_registrations has no state="gone"',
  ]);
  expect(fault("sum by (shard) (wakeline_registrations)")).toEqual(["x: no series has shard"]);
  expect(fault("wakeline_tunnels", ["provider"])).toEqual(["x: no series has provider"]);
});

test("every metric that /metrics gives is on the dashboard", () => {
  const shown = dashboard()
    .panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .join("\n");
  const names = [...series.keys()].map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  expect([...new Set(names)].filter((name) => name !== "up" && !shown.includes(name))).toEqual([]);
});

test("the dashboard can be imported: one data source variable that all panels use, ids and places of their own", () => {
  const { panels, templating } = dashboard();
  expect(templating.list.find(({ type }) => type === "datasource")?.name).toBe("datasource");
  for (const { type, datasource, targets = [] } of panels.filter((panel) => panel.type !== "row")) {
    expect(["timeseries", "stat"]).toContain(type);
    for (const source of [datasource, ...targets.map((target) => target.datasource)])
      expect(source?.uid).toBe("${datasource}");
  }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(Math.max(...panels.map(({ gridPos }) => gridPos.x + gridPos.w))).toBe(24);
});

test("every alert rule has its unit test", () => {
  const { tests } = Bun.YAML.parse(readFileSync(alertTestsFile, "utf8")) as {
    readonly tests: readonly { readonly name: string }[];
  };
  expect(tests.map(({ name }) => name)).toEqual(alerts().map(({ alert }) => alert));
});
