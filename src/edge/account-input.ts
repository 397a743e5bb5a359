import type { AccountRecord, Ha1, Notify, ProofPlace, Secret } from "../base/records.ts";
import { parseHostPort } from "../sip/host-port.ts";
import type { AccountFields } from "../store/types.ts";
import { done, invalid, type FieldFault, type Result } from "./problem.ts";
import type { AccountInput, AccountPatch, NotifyInput } from "./schemas.ts";
import {
  domainText,
  forwardUri,
  instanceText,
  literalAddress,
  passwordText,
  proxyText,
  quotable,
  userAgentText,
  userPart,
  type TextRule,
} from "./text-rules.ts";

/**
 * Why the egress policy forbids a literal address; undefined when it does not. Names are judged when they are resolved, each
 * time: this only spares an account that can never work.
 */
export type EgressRule = (address: string, port: number) => string | undefined;

const sipPort = 5060;
const hashHexChars = { MD5: 32, "SHA-256": 64, "SHA-512-256": 64 } as const;

const textFields = {
  username: userPart,
  domain: domainText,
  authUsername: quotable,
  displayName: quotable,
  proxy: proxyText,
  alternateProxy: proxyText,
  instanceId: instanceText,
  userAgent: userAgentText,
} as const satisfies Partial<Record<keyof AccountInput, TextRule>>;

/** A new account as given, with defaults; 422 naming every field that cannot be taken. */
export function readAccount(
  app: string,
  input: AccountInput,
  egress: EgressRule,
): Result<{ readonly fields: AccountFields; readonly secret: Secret }> {
  const faults = textFaults(input);
  const secret = readSecret(input, faults);
  const fields: AccountFields = {
    app,
    username: input.username,
    domain: plainDomain(input.domain),
    authUsername: input.authUsername,
    displayName: input.displayName,
    proxy: input.proxy,
    alternateProxy: input.alternateProxy,
    transport: input.transport ?? "auto",
    expiresSec: input.expiresSec ?? 600,
    registrationMode: input.registrationMode ?? "auto",
    natEmulation: input.natEmulation ?? false,
    instanceId: input.instanceId,
    userAgent: input.userAgent,
    forwardTo: input.onUnreachable?.forwardTo,
  };
  if (secret === undefined && input.password === undefined && input.ha1 === undefined) {
    faults.push({ field: "account.password", detail: "password or ha1 is needed" });
  }
  judgeAddress(fields, egress, faults);
  return faults.length > 0 || secret === undefined ? invalid(faults) : done({ fields, secret });
}

/** An account with a patch applied: what is absent stays, `null` takes away. Its identity (username, domain) cannot change. */
export function patchAccount(
  account: AccountRecord,
  patch: AccountPatch,
  egress: EgressRule,
): Result<{ readonly fields: AccountFields; readonly secret: Secret | undefined }> {
  const faults = textFaults(patch);
  const secret = readSecret(patch, faults);
  if (patch.username !== undefined && patch.username !== account.username) {
    faults.push({ field: "account.username", detail: "cannot change: subscribe the other account instead" });
  }
  if (patch.domain !== undefined && plainDomain(patch.domain) !== account.domain) {
    faults.push({ field: "account.domain", detail: "cannot change: subscribe the other account instead" });
  }
  const fields: AccountFields = {
    ...fieldsOf(account),
    authUsername: patched(account.authUsername, patch.authUsername),
    displayName: patched(account.displayName, patch.displayName),
    proxy: patched(account.proxy, patch.proxy),
    alternateProxy: patched(account.alternateProxy, patch.alternateProxy),
    transport: patch.transport ?? account.transport,
    expiresSec: patch.expiresSec ?? account.expiresSec,
    registrationMode: patch.registrationMode ?? account.registrationMode,
    natEmulation: patch.natEmulation ?? account.natEmulation,
    instanceId: patched(account.instanceId, patch.instanceId),
    userAgent: patched(account.userAgent, patch.userAgent),
    forwardTo: patch.onUnreachable === null ? undefined : (patch.onUnreachable?.forwardTo ?? account.forwardTo),
  };
  judgeAddress(fields, egress, faults);
  return faults.length > 0 ? invalid(faults) : done({ fields, secret });
}

export function fieldsOf(account: AccountRecord): AccountFields {
  const { accountId: _accountId, version: _version, learnedMode: _learnedMode, ...fields } = account;
  return fields;
}

/** What a proof of the secret depends on: where it is asked, and as whom. */
export function isProofMoved(before: AccountFields, after: AccountFields): boolean {
  return (
    before.authUsername !== after.authUsername ||
    before.proxy !== after.proxy ||
    before.alternateProxy !== after.alternateProxy ||
    before.transport !== after.transport
  );
}

export function proofPlaceOf({ authUsername, proxy, alternateProxy, transport }: AccountFields): ProofPlace {
  return { authUsername, proxy, alternateProxy, transport };
}

/** Whether one who trusts `asked` with a password has not thereby trusted `present` with it: another host, or not by TLS. */
export function isElsewhere(present: AccountFields, asked: AccountFields): boolean {
  return serverHost(present) !== serverHost(asked) || (asked.transport === "tls" && present.transport !== "tls");
}

function serverHost({ alternateProxy, proxy, domain }: AccountFields): string {
  const text = alternateProxy ?? proxy ?? domain;
  return (parseHostPort(text)?.host ?? text).toLowerCase().replace(/\.$/, "");
}

export function isSameFields(before: AccountFields, after: AccountFields): boolean {
  return (Object.keys(after) as (keyof AccountFields)[]).every((name) => before[name] === after[name]);
}

/** Whether the account is registered whatever its phones do. */
export function isContinuous({ registrationMode, learnedMode }: AccountRecord): boolean {
  return registrationMode === "continuous" || (registrationMode === "auto" && learnedMode === "continuous");
}

const notifyDefaults: Notify = { message: true, voicemail: true, missed: true, preview: false };

export function readNotify(input: NotifyInput | undefined, before: Notify = notifyDefaults): Notify {
  return {
    message: input?.message ?? before.message,
    voicemail: input?.voicemail ?? before.voicemail,
    missed: input?.missed ?? before.missed,
    preview: input?.preview ?? before.preview,
  };
}

/** `SIP.Example.com.` is sip.example.com: one account, however a phone spells it. */
function plainDomain(text: string): string {
  return text.toLowerCase().replace(/\.$/, "");
}

function patched(before: string | undefined, patch: string | null | undefined): string | undefined {
  return patch === undefined ? before : (patch ?? undefined);
}

/**
 * What the text rules say of a body that its schema has refused: a developer hears of every field at once. It may hold anything;
 * what is no text is the schema's to name.
 */
export function furtherFaults(body: unknown): FieldFault[] {
  const account = objectOf(objectOf(body)?.["account"]);
  if (account === undefined) return [];
  const faults = textFaults({ ...account, onUnreachable: objectOf(account["onUnreachable"]) });
  judge("account.password", account["password"], passwordText, faults);
  return faults;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
}

type AnyTexts = { readonly [Name in keyof typeof textFields]?: unknown } & {
  readonly onUnreachable?: { readonly forwardTo?: unknown } | null | undefined;
};

function textFaults(input: AnyTexts): FieldFault[] {
  const faults: FieldFault[] = [];
  for (const [name, rule] of Object.entries(textFields)) {
    const value = input[name as keyof typeof textFields];
    judge(`account.${name}`, value, rule, faults);
  }
  judge("account.onUnreachable.forwardTo", input.onUnreachable?.forwardTo, forwardUri, faults);
  return faults;
}

function judge(field: string, value: unknown, rule: TextRule, faults: FieldFault[]): void {
  const detail = typeof value === "string" ? rule(value) : undefined;
  if (detail !== undefined) faults.push({ field, detail });
}

function readSecret({ password, ha1 }: AccountPatch, faults: FieldFault[]): Secret | undefined {
  if (password !== undefined && ha1 !== undefined) {
    faults.push({ field: "account.ha1", detail: "password or ha1, not both" });
    return undefined;
  }
  if (password !== undefined) {
    judge("account.password", password, passwordText, faults);
    return { kind: "password", password };
  }
  if (ha1 === undefined) return undefined;
  const entries = ha1.map(({ realm, algorithm, hash }, at): Ha1 => {
    judge(`account.ha1[${at}].realm`, realm, quotable, faults);
    const chars = hashHexChars[algorithm];
    if (hash.length !== chars || !/^[0-9a-f]+$/i.test(hash)) {
      faults.push({ field: `account.ha1[${at}].hash`, detail: `must be ${chars} hexadecimal digits` });
    }
    return { realm, algorithm, hash: hash.toLowerCase() };
  });
  return { kind: "ha1", entries };
}

/** The server that Wakeline itself will speak to; a private `proxy` beside a public `alternateProxy` is what that is for. */
function judgeAddress(fields: AccountFields, egress: EgressRule, faults: FieldFault[]): void {
  const field =
    fields.alternateProxy !== undefined ? "alternateProxy" : fields.proxy !== undefined ? "proxy" : "domain";
  const literal = literalAddress(fields[field] ?? "");
  if (literal === undefined) return;
  const detail = egress(literal.address, literal.port ?? sipPort);
  if (detail !== undefined) faults.push({ field: `account.${field}`, detail });
}
