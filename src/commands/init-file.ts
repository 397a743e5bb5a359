/** What `wakeline init` writes, as far as it is asked. */
export interface InitAnswers {
  readonly publicUrl: string;
  /** Who ends TLS for phones: this machine alone is served, a proxy in front does it, or Wakeline. */
  readonly tls: "loopback" | "proxy" | { readonly cert: string; readonly key: string };
  readonly advertise: string | undefined;
  readonly appId: string;
  /** Hex SHA-256 of the app's enrolment key. */
  readonly keySha256: string;
  /** Whom push services may write to, a mail address. */
  readonly contact: string;
}

export type AskedAnswers = Omit<InitAnswers, "keySha256">;

/** Asks the operator; undefined when they gave up. */
export type Ask = (defaults: AskedAnswers) => Promise<AskedAnswers | undefined>;

export const defaultAnswers = {
  publicUrl: "http://127.0.0.1:8080",
  tls: "loopback",
  advertise: undefined,
  appId: "com.example.phone",
  contact: "ops@example.com",
} as const satisfies AskedAnswers;

/** A commented wakeline.toml; what is commented out is the default or an example. */
export function initFile(answers: InitAnswers): string {
  const { tls } = answers;
  const isOwnTls = typeof tls === "object";
  const http = [
    `listen = ${quoted(isOwnTls ? `0.0.0.0:${portOf(answers.publicUrl)}` : "127.0.0.1:8080")}`,
    isOwnTls
      ? `tls_cert = ${quoted(tls.cert)}`
      : '# tls_cert = "cert.pem"                  # both or neither; SIGHUP reads them again',
    isOwnTls ? `tls_key = ${quoted(tls.key)}` : '# tls_key = "key.pem"',
    tls === "proxy"
      ? 'trusted_proxies = ["127.0.0.1"]'
      : '# trusted_proxies = ["127.0.0.1"]        # when a proxy in front ends TLS',
  ];
  return `# Wakeline's configuration. Any key can be given as a variable too: WAKELINE_SIP__PORT=5070.
# \`wakeline check\` tells what is wrong; \`wakeline serve\` runs it.

data_dir = "./data"                      # accounts and their passwords, encrypted; back it up with \`wakeline backup FILE\`
public_url = ${quoted(answers.publicUrl)}
master_key = "file:./data/master.key"    # or "env:NAME". Without it no password can be read: keep a copy, elsewhere
# drain_sec = 30                         # how long running calls may go on after SIGTERM

[http]                                   # what phones call
${http.join("\n")}

[operator]                               # page, metrics, health: http://127.0.0.1:9090
listen = "127.0.0.1:9090"
# token = "env:WAKELINE_OPERATOR_TOKEN"  # needed unless on loopback

[sip]
listen = "0.0.0.0"                       # or ["0.0.0.0", "[::]"]
port = 5060                              # shard n listens on port + n, UDP and TCP: open them all in the firewall
# tls_port = 5080                        # the same for TLS; certificate as for http unless tls_cert and tls_key are set here
${answers.advertise === undefined ? '# advertise = "203.0.113.7"              # how SIP servers reach this machine, when it is behind NAT' : `advertise = ${quoted(answers.advertise)}`}
# shards = 0                             # 0 is one a core
# egress_allow = ["10.0.0.0/8"]          # networks beyond the public internet that accounts may name
# resolver = ["192.0.2.53"]              # default: the system's
# ca_file = "registrars-ca.pem"          # further CAs for registrars
# user_agent = "Wakeline"
# nat_address = "192.168.1.20"           # shown by accounts with natEmulation

[wake]
# deadline_sec = 40                      # how long a call waits for the phone
# ring = "on_push"                       # when the caller hears ringing: "on_push", "on_device" or "immediate"

[limits]
# accounts_per_device = 16
# devices_per_account = 8
# lease_days = 14                        # a device not seen for this long is dropped, with its accounts

[[apps]]
id = ${quoted(answers.appId)}
key = "sha256:${answers.keySha256}"
# jwks_url = "https://id.example.com/jwks.json"    # these three beside the key or in its place: tokens of your own issuer enrol
# issuer = "https://id.example.com"
# audience = "wakeline"
webpush = { subject = ${quoted(`mailto:${answers.contact}`)} }
# apns = { key_file = "AuthKey.p8", key_id = "ABCDE12345", team_id = "TEAM123456", topic = ${quoted(answers.appId)} }
# fcm = { service_account_file = "service-account.json" }
# webhook = { url = "http://127.0.0.1:7000/push", secret = "env:WAKELINE_WEBHOOK_SECRET" }
`;
}

/** The port that phones call when nothing stands before us. */
function portOf(publicUrl: string): string {
  const port = URL.parse(publicUrl)?.port ?? "";
  return port === "" ? "443" : port;
}

/** A basic string of TOML; JSON's escapes are among TOML's. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
