import { getServers } from "node:dns";
import { lookup } from "node:dns/promises";
import type { Config } from "../config/config.ts";
import { SystemDnsClient } from "../net/dns.ts";
import { systemClock, type Clock } from "../time/clock.ts";
import { checkCertificates } from "./check/certificates.ts";
import { checkClock } from "./check/clock.ts";
import { askTime, checkClockSkew, type AskTime } from "./check/clock-skew.ts";
import { checkFiles } from "./check/files.ts";
import { inWords, problem, type Finding } from "./check/finding.ts";
import { checkMachine, systemFile, type ReadSystem } from "./check/machine.ts";
import { checkNames, interfaceAddresses, type LookUp } from "./check/names.ts";
import { checkPorts } from "./check/ports.ts";
import { checkPublicUrl, type Fetch } from "./check/public-url.ts";
import { checkPushCredentials } from "./check/push-credentials.ts";
import { checkResolvers, type Resolvers } from "./check/resolvers.ts";
import { configFile, configOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";

/** A push provider that refuses us, in words; as the senders' `probe` gives it. */
interface PushFault {
  readonly app: string;
  readonly provider: string;
  readonly text: string;
}

export interface CheckParts {
  /** Asks each provider something harmless. Absent: not asked. */
  readonly probePush?: (config: Config) => Promise<readonly PushFault[]>;
  readonly lookUp?: LookUp;
  readonly resolvers?: Omit<Resolvers, "lookUp">;
  readonly ownAddresses?: readonly string[];
  readonly askTime?: AskTime;
  readonly fetch?: Fetch;
  readonly readSystem?: ReadSystem;
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
  const clock = parts.clock ?? systemClock;
  const nowMs = clock.wallMs();
  const lookUp = parts.lookUp ?? systemLookUp;
  const resolvers = parts.resolvers ?? { dns: (servers) => new SystemDnsClient(servers), systemServers: getServers() };
  const findings: Finding[] = [
    ...checkClock(config, nowMs),
    ...checkFiles(config, env),
    ...checkCertificates(config, nowMs),
    ...(await checkNames(config, lookUp, parts.ownAddresses ?? interfaceAddresses())),
    ...(await checkResolvers(config, { ...resolvers, lookUp })),
    ...(await checkPorts(config)),
    ...(await checkPublicUrl(config, parts.fetch ?? fetch)),
    ...checkMachine(config, parts.readSystem ?? systemFile),
    ...(await checkClockSkew(config, () => clock.wallMs(), parts.askTime ?? askTime)),
    ...checkPushCredentials(config.apps),
  ];
  // A key that is no key was told of already: asking with it would say so again.
  if (
    parts.probePush !== undefined &&
    !findings.some(({ level, text }) => level === "problem" && /^(apns|fcm)\./.test(text))
  ) {
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
