import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Config } from "../../config/config.ts";
import { inspectData } from "../../store/inspect.ts";
import type { Environment } from "../config-file.ts";
import { inWords, note, problem, type Finding } from "./finding.ts";

const freeBytesMin = 200 * 1024 * 1024;

/** The data folder, the master key and who else may read keys. */
export function checkFiles(config: Config, env: Environment): readonly Finding[] {
  const findings: Finding[] = [...checkDataDir(config.dataDir)];
  try {
    findings.push(...inspectData(config.dataDir, config.masterKey, env).map(problem));
  } catch (cause) {
    findings.push(
      problem(`${config.dataDir}: the database cannot be opened: ${inWords(cause)}; run this as the server's user`),
    );
  }
  if (config.masterKey.startsWith("file:")) findings.push(...checkPrivate("master_key", config.masterKey.slice(5)));
  const { http, sip } = config;
  for (const [key, file] of [
    ["http.tls_key", http.tlsKey],
    ["sip.tls_key", sip.tlsKey === http.tlsKey ? undefined : sip.tlsKey],
    ...config.apps.flatMap((app) => [
      [`apns.key_file of ${app.id}`, app.apns?.keyFile],
      [`fcm.service_account_file of ${app.id}`, app.fcm?.serviceAccountFile],
    ]),
  ] as const) {
    if (file !== undefined) findings.push(...checkPrivate(String(key), file));
  }
  return findings;
}

function checkDataDir(dataDir: string): readonly Finding[] {
  if (!existsSync(dataDir)) {
    const parent = firstExisting(dirname(dataDir));
    return isWritable(parent)
      ? []
      : [
          problem(
            `data_dir: ${dataDir} does not exist and ${parent} cannot be written: make it and give it to the server's user`,
          ),
        ];
  }
  const stats = statSync(dataDir);
  if (!stats.isDirectory()) return [problem(`data_dir: ${dataDir} is no folder`)];
  const findings: Finding[] = [];
  if (!isWritable(dataDir))
    findings.push(problem(`data_dir: ${dataDir} cannot be written: give it to the server's user`));
  if ((stats.mode & 0o077) !== 0)
    findings.push(problem(`data_dir: others may look into ${dataDir}: chmod 700 ${dataDir}`));
  const { bavail, bsize } = statfsSync(dataDir);
  if (bavail * bsize < freeBytesMin) {
    findings.push(
      problem(
        `data_dir: ${Math.floor((bavail * bsize) / 1024 / 1024)} MB are free on the disk of ${dataDir}: make room`,
      ),
    );
  }
  return findings;
}

/** Group and others must have no rights on a key; the group of TLS keys is the operator's affair. */
function checkPrivate(key: string, file: string): readonly Finding[] {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode;
  if (mode === undefined) return [];
  if ((mode & 0o007) !== 0) return [problem(`${key}: everybody on this machine may read ${file}: chmod 600 ${file}`)];
  return (mode & 0o070) !== 0 ? [note(`${key}: its group may read ${file}`)] : [];
}

function firstExisting(folder: string): string {
  return existsSync(folder) ? folder : firstExisting(dirname(folder));
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
