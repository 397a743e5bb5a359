import { lookup } from "node:dns/promises";
import type { Config } from "../config/config.ts";
import { systemClock, type Clock } from "../time/clock.ts";
import { checkCertificates } from "./check/certificates.ts";
import { checkClock } from "./check/clock.ts";
import { checkFiles } from "./check/files.ts";
import { inWords, problem, type Finding } from "./check/finding.ts";
import { checkNames, type LookUp } from "./check/names.ts";
import { checkPorts } from "./check/ports.ts";
import { checkPushCredentials } from "./check/push-credentials.ts";
import { configFile, configOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";

/** A push provider that refuses us, in words; as the senders' `probe` gives it. */
export interface PushFault {
  readonly app: string;
  readonly provider: string;
  readonly text: string;
}

export interface CheckParts {
  /** Asks each provider something harmless. Absent: not asked. */
  readonly probePush?: (config: Config) => Promise<readonly PushFault[]>;
  readonly lookUp?: LookUp;
  readonly clock?: Clock;
  readonly env?: Environment;
}

/**
 * `wakeline check`: everything that can be found wrong before a start, each problem a line on stderr with what to do, notes on
 * stdout. Changes nothing. Returns the exit code: 1 when there is any problem, faults of the configuration among them.
 */
export async function runCheck(
  args: { readonly config: string | undefined },
  io: CommandIo,
  parts: CheckParts = {},
): Promise<number> {
  const env = parts.env ?? process.env;
  const name = configFile(args.config) ?? "embedded defaults (there is no wakeline.toml here)";
  const config = configOrFaults(args.config, env, io);
  if (config === undefined) return 1;
  const nowMs = (parts.clock ?? systemClock).wallMs();
  const findings: Finding[] = [
    ...checkClock(config, nowMs),
    ...checkFiles(config, env),
    ...checkCertificates(config, nowMs),
    ...(await checkNames(config, parts.lookUp ?? systemLookUp)),
    ...(await checkPorts(config)),
    ...checkPushCredentials(config.apps),
  ];
  // A key that is no key was told of already: asking with it would say so again.
  if (parts.probePush !== undefined && !findings.some(({ text }) => /^(apns|fcm)\./.test(text))) {
    findings.push(...(await probed(parts.probePush, config)));
  }
  const problems = findings.filter(({ level }) => level === "problem");
  for (const { level, text } of findings) {
    if (level === "problem") io.err(text);
    else io.out(`note: ${text}`);
  }
  io.out(problems.length === 0 ? `${name}: all is well` : `${name}: ${counted(problems.length)}`);
  return problems.length === 0 ? 0 : 1;
}

async function probed(probePush: NonNullable<CheckParts["probePush"]>, config: Config): Promise<readonly Finding[]> {
  try {
    return (await probePush(config)).map(({ app, provider, text }) => problem(`${provider} of ${app}: ${text}`));
  } catch (cause) {
    return [problem(`push providers could not be asked: ${inWords(cause)}`)];
  }
}

async function systemLookUp(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

function counted(count: number): string {
  return count === 1 ? "1 problem" : `${count} problems`;
}
