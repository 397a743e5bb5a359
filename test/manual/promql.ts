import { readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./post.ts";

/** A PromQL expression of docs/deploy, and the labels that the text beside it shows. */
export interface Expression {
  readonly where: string;
  readonly expr: string;
  readonly shown: readonly string[];
}

export const alertsFile = join(repository, "docs/deploy/alerts.yml");
export const alertTestsFile = join(repository, "docs/deploy/alerts.test.yml");
const dashboardFile = join(repository, "docs/deploy/grafana.json");

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
}

export function alerts(): readonly Alert[] {
  const file = Bun.YAML.parse(readFileSync(alertsFile, "utf8")) as {
    readonly groups: readonly { readonly rules: readonly Alert[] }[];
  };
  return file.groups.flatMap(({ rules }) => rules);
}

export function dashboard(): Dashboard {
  return JSON.parse(readFileSync(dashboardFile, "utf8")) as Dashboard;
}

/** All expressions of rules and dashboard, Grafana's variables replaced by what they stand for. */
export function expressions(): readonly Expression[] {
  const ofAlerts = alerts().map(({ alert, expr, annotations }) => ({
    where: alert,
    expr,
    shown: namesIn(annotations.summary, /\$labels\.(\w+)/g),
  }));
  const ofPanels = dashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      where: `panel ${title}`,
      expr: expr
        .replaceAll("$__rate_interval", "5m")
        .replaceAll("$__range", "1h")
        .replaceAll(/"\$\w+"/g, '".*"'),
      shown: namesIn(legendFormat, /\{\{(\w+)\}\}/g),
    })),
  );
  return [...ofAlerts, ...ofPanels];
}

export function namesIn(text: string, pattern: RegExp): readonly string[] {
  return [...text.matchAll(pattern)].map(([, name = ""]) => name);
}
