import type { ApnsConfig, AppConfig, FcmConfig } from "./config.ts";
import { anyUrl, contactUrl, guardedUrl, line, path, secretText, sha256, textThat } from "./parsers.ts";
import type { Table } from "./table.ts";

/** What reading an app needs beside its table. */
export interface AppSources {
  /** Absolute path of a file that must be readable; notes a fault otherwise. */
  file(table: Table, key: string, name: string | undefined): string | undefined;
  /** The text a secret refers to; notes a fault when there is none. */
  secret(table: Table, key: string, secret: string | undefined): string | undefined;
}

const tenCharacters = textThat("10 letters and digits, as Apple shows it", (text) =>
  /^[A-Z0-9]{10}$/.test(text) ? text : undefined,
);

export function readApps(tables: readonly Table[], sources: AppSources): readonly AppConfig[] {
  const apps = tables.map((table) => readApp(table, sources));
  const seen = new Set<string>();
  apps.forEach(({ id }, n) => {
    if (id !== "" && seen.has(id)) tables[n]?.fault("id", `"${id}" is the id of an app above, too`);
    seen.add(id);
  });
  return apps;
}

function readApp(table: Table, sources: AppSources): AppConfig {
  const id = table.need("id", line) ?? "";
  const keyText = sources.secret(table, "key", table.get("key", secretText));
  const key = keyText === undefined ? undefined : sha256(keyText);
  if (key !== undefined && !key.ok) table.fault("key", `must be ${key.must} (\`printf %s KEY | sha256sum\`)`);
  const jwksUrl = table.get("jwks_url", guardedUrl);
  const issuer = table.get("issuer", line);
  const audience = table.get("audience", line);
  const tokenKeys = ["jwks_url", "issuer", "audience"];
  const given = tokenKeys.filter((name) => table.has(name));
  if (given.length > 0 && given.length < tokenKeys.length) {
    const missing = tokenKeys.filter((name) => !table.has(name));
    table.fault(given[0] ?? "jwks_url", `needs ${missing.join(" and ")} beside it`);
  }
  if (!table.has("key") && given.length === 0) {
    table.fault("key", `is missing: ${id === "" ? "an app" : `"${id}"`} needs a key, or jwks_url, issuer and audience`);
  }
  const webpush = table.optionalTable("webpush");
  const webhook = table.optionalTable("webhook");
  return {
    id,
    keySha256: key?.ok === true ? key.value : undefined,
    jwksUrl,
    issuer,
    audience,
    apns: readApns(table.optionalTable("apns"), sources),
    fcm: readFcm(table.optionalTable("fcm"), sources),
    webpush: webpush && { subject: webpush.need("subject", contactUrl) ?? "" },
    webhook: webhook && {
      url: webhook.need("url", anyUrl) ?? "",
      secret: sources.secret(webhook, "secret", webhook.need("secret", secretText)) ?? "",
    },
  };
}

function readApns(table: Table | undefined, sources: AppSources): ApnsConfig | undefined {
  return (
    table && {
      keyFile: sources.file(table, "key_file", table.need("key_file", path)) ?? "",
      keyId: table.need("key_id", tenCharacters) ?? "",
      teamId: table.need("team_id", tenCharacters) ?? "",
      topic: table.need("topic", line) ?? "",
      endpoint: table.get("endpoint", guardedUrl),
      caFile: sources.file(table, "ca_file", table.get("ca_file", path)),
    }
  );
}

function readFcm(table: Table | undefined, sources: AppSources): FcmConfig | undefined {
  return (
    table && {
      serviceAccountFile: sources.file(table, "service_account_file", table.need("service_account_file", path)) ?? "",
      endpoint: table.get("endpoint", guardedUrl),
      tokenEndpoint: table.get("token_endpoint", guardedUrl),
      caFile: sources.file(table, "ca_file", table.get("ca_file", path)),
    }
  );
}
