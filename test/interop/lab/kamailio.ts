import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { claimPorts } from "./claim-ports.ts";
import { type Program, requireProgram, startProgram, tempFolder } from "./program.ts";
import { until } from "./wait.ts";

export const domain = "lab.test";

/** The password of every account in the lab. */
export const passwordOf = (username: string): string => `pw-${username}`;

/** Begins what its configuration has it say of a request. */
const requestMark = "LABREQUEST ";

/** With NAT handling a contact that answers no ping for so long is dropped. */
const pingTimeoutSec = 4;

export interface KamailioOptions {
  /** PEM; with it there is a TLS listener. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
  /** Bindings an account may have; a further one gets 503. */
  readonly maxContacts?: number;
  /** Shorter wishes get 423. */
  readonly minExpiresSec?: number;
  readonly maxExpiresSec?: number;
  /** Treats every contact as behind NAT: keeps `received`, pings by OPTIONS. */
  readonly nat?: boolean;
  /** Stands in front of a registrar: adds Path to REGISTER and passes everything on to this port (RFC 3327). */
  readonly edgeOf?: number;
  /** How long a nonce is good. */
  readonly nonceSec?: number;
}

/** A request as it came to Kamailio. */
interface SeenRequest {
  readonly method: string;
  readonly from: string;
  readonly proto: string;
  readonly fromUser: string;
  /** The username in its credentials, undefined without credentials. */
  readonly authUser: string | undefined;
  readonly expires: string;
  readonly contact: string;
  readonly callId: string;
  readonly cseq: number;
  readonly path: string;
  readonly reason: string;
}

interface Binding {
  readonly address: string;
  /** When a ping was last answered, Unix seconds. */
  readonly lastKeepaliveSec: number;
  readonly expiresSec: number;
  readonly received: string;
  readonly path: string;
  readonly instance: string;
  readonly userAgent: string;
}

export interface Kamailio {
  readonly port: number;
  readonly tlsPort: number;
  /** `127.0.0.1:port`. */
  readonly proxy: string;
  readonly program: Program;
  /** Every request it has received by now, oldest first; one that came again by a timer counts once. */
  requests(method?: string, fromUser?: string): Promise<readonly SeenRequest[]>;
  /** What its location service holds for the account (the RPC behind `kamcmd ul.dump`). */
  bindings(username: string): Promise<readonly Binding[]>;
  /** Answers that it has relayed by now, `200 INVITE` and so on. */
  answers(callId: string): Promise<readonly string[]>;
  stop(): Promise<void>;
}

interface ContactDump {
  readonly Contact: {
    readonly Address: string;
    readonly Expires: number | string;
    readonly "Last-Keepalive": number;
    readonly Received: string;
    readonly Path: string;
    readonly Instance: string;
    readonly "User-Agent": string;
  };
}

/** Starts Debian's Kamailio as registrar and proxy for `lab.test` on free ports of 127.0.0.1. */
export async function startKamailio(options: KamailioOptions = {}): Promise<Kamailio> {
  const binary = requireProgram("/usr/sbin/kamailio", "kamailio kamailio-extra-modules kamailio-tls-modules");
  const folder = tempFolder("kamailio");
  const port = await claimPorts(2);
  const tlsPort = options.tls === undefined ? 0 : port + 1;
  writeFileSync(join(folder.path, "kamailio.cfg"), configText(options, port, tlsPort, folder.path));
  if (options.tls !== undefined) {
    writeFileSync(join(folder.path, "cert.pem"), options.tls.cert);
    writeFileSync(join(folder.path, "key.pem"), options.tls.key, { mode: 0o600 });
    writeFileSync(join(folder.path, "ca.pem"), options.tls.ca);
  }
  const program = startProgram(
    [
      binary,
      "-f",
      join(folder.path, "kamailio.cfg"),
      "-DD",
      "-E",
      "-m",
      "24",
      "-M",
      "4",
      "-w",
      folder.path,
      "-Y",
      folder.path,
    ],
    { cwd: folder.path },
  );

  async function rpc(method: string, params: readonly unknown[]): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${port}/RPC`, {
      method: "POST",
      headers: { "content-type": "application/json", connection: "close" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    return ((await response.json()) as { result?: unknown }).result;
  }

  await until(
    "Kamailio answers",
    async () => {
      if (!program.isRunning()) throw new Error(`Kamailio ended:\n${program.lines.slice(-20).join("\n")}`);
      try {
        return (await rpc("core.version", [])) !== undefined;
      } catch {
        return false;
      }
    },
    { detail: () => program.lines.slice(-20).join("\n") },
  );

  let marks = 0;
  /** All that it has written by now. Its lines come by a pipe, later than what it did comes to where a test sees it. */
  async function written(): Promise<readonly string[]> {
    const mark = `/mark/${++marks}/`;
    await (await fetch(`http://127.0.0.1:${port}${mark}`, { headers: { connection: "close" } })).text();
    await until("Kamailio's lines are read", () => program.lines.some((line) => line.includes(`LABMARK ${mark}`)));
    return program.lines;
  }

  return {
    port,
    tlsPort,
    proxy: `127.0.0.1:${port}`,
    program,
    async requests(method, fromUser) {
      const received = (await written()).filter((line) => line.includes(requestMark));
      return [...new Set(received.map((line) => line.slice(line.indexOf(requestMark))))]
        .map(seenRequest)
        .filter(
          (seen) =>
            (method === undefined || seen.method === method) && (fromUser === undefined || seen.fromUser === fromUser),
        );
    },
    async answers(callId) {
      return (await written()).flatMap((line) => {
        const found = /LABANSWER (\d+ \w+) (\S+)/.exec(line);
        return found?.[2] === callId && found[1] !== undefined ? [found[1]] : [];
      });
    },
    async bindings(username) {
      const dump = (await rpc("ul.lookup", ["location", username])) as
        | { Contacts?: readonly ContactDump[] }
        | undefined;
      return (dump?.Contacts ?? []).flatMap(({ Contact }) => {
        const expiresSec = Number(Contact.Expires);
        // Expired and deleted bindings stay in the table until its timer comes by.
        if (!(expiresSec > 0)) return [];
        return [
          {
            address: Contact.Address,
            lastKeepaliveSec: Contact["Last-Keepalive"],
            expiresSec,
            received: Contact.Received,
            path: Contact.Path,
            instance: Contact.Instance,
            userAgent: Contact["User-Agent"],
          },
        ];
      });
    },
    async stop() {
      await program.end();
      folder.remove();
    },
  };
}

/** `told`: from the mark on. */
function seenRequest(told: string): SeenRequest {
  const [
    method = "",
    proto = "",
    from = "",
    fromUser = "",
    authUser,
    expires = "",
    cseq,
    callId = "",
    contact = "",
    path = "",
    reason = "",
  ] = told.slice(requestMark.length).split("\u0009");
  const none = (text: string | undefined): string => (text === undefined || text === "<null>" ? "" : text);
  return {
    method,
    proto: proto.toLowerCase(),
    from,
    fromUser: none(fromUser),
    authUser: none(authUser) === "" ? undefined : authUser,
    expires: none(expires),
    cseq: Number(cseq),
    callId,
    contact: none(contact),
    path: none(path),
    reason: none(reason),
  };
}

function configText(options: KamailioOptions, port: number, tlsPort: number, folder: string): string {
  const has = (flag: boolean, text: string): string => (flag ? text : "");
  const isTls = tlsPort > 0;
  const isNat = options.nat === true;
  const fields = [
    "$proto",
    "$si:$sp",
    "$fU",
    "$au",
    "$hdr(Expires)",
    "$cs",
    "$ci",
    "$hdr(Contact)",
    "$hdr(Path)",
    "$hdr(Reason)",
  ];
  return `#!KAMAILIO
debug=1
log_stderror=yes
# One process a socket: two would overtake each other, and a BYE come before the ACK that was sent first.
children=1
tcp_children=2
auto_aliases=no
alias="${domain}"
dns_cache_init=off
tcp_accept_no_cl=yes
tcp_connection_lifetime=120
listen=udp:127.0.0.1:${port}
listen=tcp:127.0.0.1:${port}
${has(isTls, `listen=tls:127.0.0.1:${tlsPort}\nenable_tls=yes`)}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "jsonrpcs.so"
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "nathelper.so"
loadmodule "path.so"
loadmodule "xhttp.so"
${has(isTls, 'loadmodule "tls.so"')}
modparam("jsonrpcs", "transport", 1)
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "timer_interval", 1)
modparam("usrloc", "nat_bflag", 6)
modparam("registrar", "default_expires", 600)
modparam("registrar", "min_expires", ${options.minExpiresSec ?? 0})
modparam("registrar", "min_expires_mode", ${options.minExpiresSec === undefined ? 0 : 1})
modparam("registrar", "max_expires", ${options.maxExpiresSec ?? 3_600})
modparam("registrar", "max_contacts", ${options.maxContacts ?? 0})
modparam("registrar", "received_avp", "$avp(RECEIVED)")
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("registrar", "gruu_enabled", 0)
modparam("auth", "nonce_expire", ${options.nonceSec ?? 300})
modparam("rr", "enable_full_lr", 1)
modparam("path", "use_received", 1)
modparam("nathelper", "received_avp", "$avp(RECEIVED)")
modparam("nathelper", "natping_interval", ${isNat ? 1 : 0})
modparam("nathelper", "ping_nated_only", 1)
modparam("nathelper", "keepalive_timeout", ${isNat ? pingTimeoutSec : 0})
modparam("nathelper", "sipping_bflag", 7)
modparam("nathelper", "sipping_from", "sip:pinger@${domain}")
modparam("nathelper", "sipping_method", "OPTIONS")
${has(isTls, `modparam("tls", "tls_method", "TLSv1.2+")\nmodparam("tls", "certificate", "${folder}/cert.pem")\nmodparam("tls", "private_key", "${folder}/key.pem")\nmodparam("tls", "ca_list", "${folder}/ca.pem")\nmodparam("tls", "verify_certificate", 0)`)}

request_route {
  xlog("L_NOTICE", "${requestMark}$rm\t${fields.join("\t")}\n");
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  force_rport();
${options.edgeOf === undefined ? registrarRoute(isNat) : edgeRoute(options.edgeOf)}
}

route[RELAY] {
  if (is_method("INVITE|BYE|SUBSCRIBE|UPDATE")) { t_on_reply("ANSWERS"); }
${has(isNat, "  if (has_totag()) { handle_ruri_alias(); }")}
  if (is_method("INVITE")) { t_on_failure("FAILED"); }
  if (!t_relay()) { sl_reply_error(); }
  exit;
}

onreply_route[ANSWERS] {
  xlog("L_NOTICE", "LABANSWER $rs $rm $ci\n");
${has(isNat, "  add_contact_alias();")}
}

failure_route[FAILED] {
  if (t_is_canceled()) { exit; }
}

event_route[xhttp:request] {
  if ($hu =~ "^/mark/") { xlog("L_NOTICE", "LABMARK $hu\n"); xhttp_reply("200", "OK", "text/plain", ""); exit; }
  jsonrpc_dispatch();
}
`;
}

/** A proxy that challenges what comes from its own domain, and a registrar (RFC 3261 §16, §10.3). */
function registrarRoute(isNat: boolean): string {
  return `
  if (is_method("CANCEL")) { if (t_check_trans()) { route(RELAY); } exit; }
  if (has_totag()) {
    if (loose_route()) { route(RELAY); }
    if (is_method("ACK")) { if (t_check_trans()) { route(RELAY); } exit; }
    sl_send_reply("404", "Not here");
    exit;
  }
  t_check_trans();
  if (is_method("OPTIONS") && uri == myself && $rU == $null) { sl_send_reply("200", "OK"); exit; }
  if (is_method("REGISTER") || ($fd == "${domain}" && !is_method("ACK"))) {
    $var(password) = "pw-" + $au;
    if (is_method("REGISTER")) {
      if (!pv_www_authenticate("${domain}", "$var(password)", "0")) { www_challenge("${domain}", "1"); exit; }
      if ($au != $tU) { sl_send_reply("403", "Not yours"); exit; }
    } else {
      if (!pv_proxy_authenticate("${domain}", "$var(password)", "0")) { proxy_challenge("${domain}", "1"); exit; }
      if ($au != $fU) { sl_send_reply("403", "Not yours"); exit; }
      consume_credentials();
    }
  }
  if (is_method("REGISTER")) {
${isNat ? "    fix_nated_register(); setbflag(6); setbflag(7);" : ""}
    if (!save("location")) { sl_reply_error(); }
    exit;
  }
  if (is_method("INVITE|SUBSCRIBE")) { record_route(); }
  # A user named at-PORT stands for a phone on that port of this machine.
  if ($rU =~ "^at-[0-9]+$") { $du = "sip:127.0.0.1:" + $(rU{s.substr,3,0}); route(RELAY); }
  # One named at-PORT-PORT is called at both at once (RFC 3261 §16.6).
  if ($rU =~ "^at-[0-9]+-[0-9]+$") {
    append_branch("sip:$rU@127.0.0.1:$(rU{s.select,2,-})", "1.0");
    $du = "sip:127.0.0.1:" + $(rU{s.select,1,-});
    route(RELAY);
  }
  if (!lookup("location")) {
    t_newtran();
    t_reply("404", "Not registered");
    exit;
  }
  route(RELAY);`;
}

/** An edge proxy in front of a registrar: Path on REGISTER, Record-Route and Route on the rest (RFC 3327). */
function edgeRoute(registrarPort: number): string {
  return `
  if (is_method("CANCEL")) { if (t_check_trans()) { route(RELAY); } exit; }
  # A route that names this proxy alone does not count as "driven" in a new request, so the last two lines look where it came from.
  if (loose_route() && has_totag()) { route(RELAY); }
  if (has_totag() && is_method("ACK")) { if (t_check_trans()) { route(RELAY); } exit; }
  if (is_method("REGISTER")) { add_path_received(); }
  if (is_method("INVITE|SUBSCRIBE")) { record_route(); }
  if ($sp != ${registrarPort}) { $du = "sip:127.0.0.1:${registrarPort}"; }
  route(RELAY);`;
}
