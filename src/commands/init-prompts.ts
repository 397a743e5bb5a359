import { cancel, intro, isCancel, select, text } from "@clack/prompts";
import { isHostName, isLoopback, parseAddress } from "../config/addresses.ts";
import type { AskedAnswers } from "./init-file.ts";
import { publicUrl as publicUrlParser, type Parser } from "../config/parsers.ts";

/** The questions of `wakeline init` on a terminal; undefined when given up by ctrl-C. */
export async function askOnTerminal(defaults: AskedAnswers): Promise<AskedAnswers | undefined> {
  intro("Wakeline: a push server for SIP phones");
  const given = await line("The URL that phones call", defaults.publicUrl, fits(publicUrlParser));
  if (given === undefined) return undefined;
  const parsed = publicUrlParser(given);
  const publicUrl = parsed.ok ? parsed.value : given;
  const tls = await askTls(publicUrl);
  if (tls === undefined) return undefined;
  const advertise = await line(
    "Public address of this machine for SIP servers (empty: it has one of its own)",
    "",
    (given) =>
      given === "" || parseAddress(given) !== undefined || isHostName(given) ? undefined : "an address or a host name",
  );
  if (advertise === undefined) return undefined;
  const appId = await line("Id of your app (its bundle id or package name)", defaults.appId, (given) =>
    /^[\w.-]{1,255}$/.test(given) ? undefined : "letters, digits, dots, dashes",
  );
  if (appId === undefined) return undefined;
  const contact = await line("A mail address for push services to write to", defaults.contact, (given) =>
    /^[^\s@"\\]+@[^\s@"\\]+$/.test(given) ? undefined : "a mail address",
  );
  if (contact === undefined) return undefined;
  return { publicUrl, tls, advertise: advertise === "" ? undefined : advertise, appId, contact };
}

async function askTls(publicUrl: string): Promise<AskedAnswers["tls"] | undefined> {
  if (isLoopback(new URL(publicUrl).hostname.replace(/^\[|\]$/g, ""))) return "loopback";
  const who = await select({
    message: "Who ends TLS for phones?",
    options: [
      { value: "proxy" as const, label: "a proxy on this machine (Caddy, nginx …)" },
      { value: "own" as const, label: "Wakeline, with a certificate that I have" },
    ],
  });
  if (isCancel(who)) return givenUp();
  if (who === "proxy") return "proxy";
  const cert = await line("Certificate chain, PEM", "cert.pem", needed);
  if (cert === undefined) return undefined;
  const key = await line("Its private key, PEM", "key.pem", needed);
  return key === undefined ? undefined : { cert, key };
}

async function line(
  message: string,
  fallback: string,
  fault: (given: string) => string | undefined,
): Promise<string | undefined> {
  const given = await text({
    message,
    placeholder: fallback,
    defaultValue: fallback,
    validate: (typed) => fault(typed === undefined || typed.trim() === "" ? fallback : typed.trim()),
  });
  return isCancel(given) ? givenUp() : given.trim();
}

function fits(parser: Parser<string>): (given: string) => string | undefined {
  return (given) => {
    const parsed = parser(given);
    return parsed.ok ? undefined : parsed.must;
  };
}

function needed(given: string): string | undefined {
  return given === "" ? "a path" : undefined;
}

function givenUp(): undefined {
  cancel("given up");
  return undefined;
}
