import { RegisterShapes } from "./register-shape.ts";
import type { LocalAddress, Transport } from "../net/network.ts";

const encoder = new TextEncoder();

const allowedMethods = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY, MESSAGE, SUBSCRIBE";

/** What was refused at the door is not written either: no character that could begin another header. */
function clean(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\x00-\x1f\x7f]/g, "");
}

/** The parts of a REGISTER that do not differ between accounts of a profile, between the parts that do. */
export class RegisterTemplate {
  readonly transport: Transport;
  readonly host: string;
  readonly port: number;
  readonly contactPort: number;
  readonly plain: boolean;
  /** Up to the branch. */
  readonly untilBranch: Uint8Array;
  /** Behind the branch, up to From's user. */
  readonly untilFromUser: Uint8Array;
  readonly untilTag: Uint8Array;
  readonly untilToUser: Uint8Array;
  readonly untilCallId: Uint8Array;
  readonly untilCSeq: Uint8Array;
  /** Behind the number of CSeq, method and line end. */
  readonly afterCSeq: Uint8Array;
  readonly untilContactUser: Uint8Array;
  readonly untilLine: Uint8Array;
  /** Behind the line token, up to the instance; closes the URI. */
  readonly untilInstance: Uint8Array;
  /** Behind the instance. */
  readonly afterInstance: Uint8Array;
  /** Closes the URI where no instance follows. */
  readonly closeUri: Uint8Array;
  readonly expires: Uint8Array;
  readonly zeroExpires: Uint8Array;
  readonly tail: Uint8Array;
  readonly shapes = new RegisterShapes();

  constructor(options: {
    readonly requestUri: string;
    readonly domain: string;
    readonly userAgent: string;
    readonly transport: Transport;
    readonly local: LocalAddress;
    /** Differs from the local port while a binding is removed that was made on a former flow. */
    readonly contactPort: number;
    readonly plain: boolean;
  }) {
    const { transport, local, contactPort, plain } = options;
    const requestUri = clean(options.requestUri);
    const domain = clean(options.domain);
    const userAgent = clean(options.userAgent);
    this.transport = transport;
    this.host = local.host;
    this.port = local.port;
    this.contactPort = contactPort;
    this.plain = plain;
    const contactPlace = `${local.host}:${contactPort}`;
    const isStream = transport !== "udp";
    // RFC 5626: a stream is a flow that the registrar may use; over UDP our port is our address, and reg-id would
    // only ask for more than it needs. No Require: a registrar that knows nothing of outbound must not refuse.
    const supported = plain ? "" : `Supported: path${isStream ? ", outbound" : ""}\r\n`;
    this.untilBranch = encoder.encode(
      `REGISTER ${requestUri} SIP/2.0\r\nVia: SIP/2.0/${transport.toUpperCase()} ${local.host}:${local.port};rport;branch=`,
    );
    this.untilFromUser = encoder.encode("\r\nMax-Forwards: 70\r\nFrom: <sip:");
    this.untilTag = encoder.encode(`@${domain}>;tag=`);
    this.untilToUser = encoder.encode("\r\nTo: <sip:");
    this.untilCallId = encoder.encode(`@${domain}>\r\nCall-ID: `);
    this.untilCSeq = encoder.encode("\r\nCSeq: ");
    this.afterCSeq = encoder.encode(" REGISTER\r\n");
    this.untilContactUser = encoder.encode("Contact: <sip:");
    this.untilLine = encoder.encode(`@${contactPlace};transport=${transport};line=`);
    this.untilInstance = encoder.encode(`>;+sip.instance="<`);
    this.afterInstance = encoder.encode(isStream ? `>";reg-id=1` : `>"`);
    this.closeUri = encoder.encode(">");
    this.expires = encoder.encode("\r\nExpires: ");
    this.zeroExpires = encoder.encode(";expires=0\r\nExpires: 0\r\n");
    this.tail = encoder.encode(
      `${supported}Allow: ${allowedMethods}\r\nUser-Agent: ${userAgent}\r\nContent-Length: 0\r\n\r\n`,
    );
  }
}
