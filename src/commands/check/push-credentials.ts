import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ApnsConfig, AppConfig, FcmConfig } from "../../config/config.ts";
import { basename } from "node:path";
import { inWords, note, problem, type Finding } from "./finding.ts";

/** Keys of push providers, as far as they can be judged here; the providers themselves are asked by the senders. */
export function checkPushCredentials(apps: readonly AppConfig[]): readonly Finding[] {
  if (apps.length === 0) return [problem("apps: none is configured, so no phone can enrol: add an [[apps]] section")];
  return apps.flatMap((app) => {
    const { apns, fcm, webpush, webhook } = app;
    if ((apns ?? fcm ?? webpush ?? webhook) === undefined) {
      return [
        problem(
          `apps: ${app.id} has no push provider, so none of its phones can be woken: add apns, fcm, webpush or webhook`,
        ),
      ];
    }
    return [
      ...(apns === undefined ? [] : checkApns(app.id, apns)),
      ...(fcm === undefined ? [] : checkFcm(app.id, fcm)),
      ...(webhook?.url.startsWith("http:") === true && !/^http:\/\/(localhost|127\.|\[::1\])/.test(webhook.url)
        ? [note(`webhook of ${app.id}: ${webhook.url} carries push tokens unencrypted`)]
        : []),
    ];
  });
}

function checkApns(app: string, apns: ApnsConfig): readonly Finding[] {
  const findings: Finding[] = [];
  if (apns.topic.endsWith(".voip"))
    findings.push(
      problem(
        `apns.topic of ${app}: ${apns.topic} is the app's bundle id and ".voip", which is added here: leave it out`,
      ),
    );
  // Apple names the file by the key.
  const named = /^AuthKey_([A-Z0-9]{10})\.p8$/.exec(basename(apns.keyFile))?.[1];
  if (named !== undefined && named !== apns.keyId)
    findings.push(note(`apns.key_id of ${app}: it is ${apns.keyId}, but the file is named for key ${named}`));
  return [...findings, ...checkApnsKey(app, apns)];
}

function checkApnsKey(app: string, apns: ApnsConfig): readonly Finding[] {
  try {
    const key = createPrivateKey(readFileSync(apns.keyFile, "utf8"));
    if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return [];
    return [
      problem(
        `apns.key_file of ${app}: ${apns.keyFile} holds another kind of key; it must be the .p8 file from Apple (P-256)`,
      ),
    ];
  } catch (cause) {
    return [problem(`apns.key_file of ${app}: ${apns.keyFile} is not the .p8 file from Apple: ${inWords(cause)}`)];
  }
}

function checkFcm(app: string, fcm: FcmConfig): readonly Finding[] {
  const where = `fcm.service_account_file of ${app}: ${fcm.serviceAccountFile}`;
  let account: Readonly<Record<string, unknown>>;
  try {
    account = Object.fromEntries(Object.entries(JSON.parse(readFileSync(fcm.serviceAccountFile, "utf8")) as object));
  } catch (cause) {
    return [problem(`${where} is not the JSON file from the Firebase console: ${inWords(cause)}`)];
  }
  const missing = ["project_id", "client_email", "private_key"].filter((name) => typeof account[name] !== "string");
  if (missing.length > 0)
    return [problem(`${where} lacks ${missing.join(", ")}: get the service account's JSON key anew`)];
  try {
    const key = createPrivateKey(String(account.private_key));
    if (key.asymmetricKeyType !== "rsa") return [problem(`${where} holds another kind of key than RSA`)];
    const home = /@(.+)\.iam\.gserviceaccount\.com$/.exec(String(account.client_email))?.[1];
    return home === undefined || home === account.project_id
      ? []
      : [
          note(
            `${where} is an account of project ${home}, but pushes go to the phones of ${String(account.project_id)}`,
          ),
        ];
  } catch (cause) {
    return [problem(`${where} holds a private_key that cannot be read: ${inWords(cause)}`)];
  }
}
