import type { AccountRecord } from "../base/records.ts";
import type { LocalAddress, SipTarget, Transport } from "../net/network.ts";
import { Algorithm, type KnownAlgorithmId } from "../sip/auth/algorithm.ts";
import { DigestWriter } from "../sip/auth/digest-writer.ts";
import { formatHost, parseHostPort } from "../sip/host-port.ts";
import type { Registrar } from "./registrar.ts";
import { RegisterTemplate } from "./register-template.ts";

/** What accounts must have in common to share a profile. */
export interface ProfileKey {
  /** Domain of the address of record, as written. */
  readonly domain: string;
  readonly target: SipTarget;
  /** Never by anything but TLS. */
  readonly secure: boolean;
  readonly expiresSec: number;
  readonly userAgent: string;
  readonly natEmulation: boolean;
  /** Request-URI of a server that a 3xx named; undefined: `sip:domain`. */
  readonly redirectedUri: string | undefined;
}

/** Templates of a profile: local addresses of its flows, with and without extensions. */
const templatesMax = 8;
const expiresSecMin = 30;
const expiresSecMax = 86_400;

/** The place that an account's REGISTER goes to; undefined when what it names is no host. */
function targetOf(record: AccountRecord): { readonly target: SipTarget; readonly secure: boolean } | undefined {
  const place = parseHostPort(record.alternateProxy ?? record.proxy ?? record.domain);
  if (place === undefined) return undefined;
  const transport = record.transport === "auto" ? (place.transport ?? "auto") : record.transport;
  return { target: { host: place.host, port: place.port, transport }, secure: transport === "tls" };
}

/** The key of an account's profile; undefined when its proxy or domain is no host. */
export function profileKeyOf(record: AccountRecord, userAgent: string): ProfileKey | undefined {
  const place = targetOf(record);
  if (place === undefined) return undefined;
  return {
    domain: record.domain,
    ...place,
    expiresSec: Math.min(Math.max(Math.round(record.expiresSec), expiresSecMin), expiresSecMax),
    userAgent: record.userAgent ?? userAgent,
    natEmulation: record.natEmulation,
    redirectedUri: undefined,
  };
}

function keyText(key: ProfileKey): string {
  const { host, port, transport } = key.target;
  return JSON.stringify([
    key.domain,
    host,
    port ?? 0,
    transport,
    key.secure,
    key.expiresSec,
    key.userAgent,
    key.natEmulation,
    key.redirectedUri,
  ]);
}

/** What many accounts have in common: thousands at one provider are one profile. */
export class Profile {
  readonly id: number;
  readonly key: ProfileKey;
  readonly registrar: Registrar;
  /** Where it was redirected from; undefined for a profile of its own. */
  readonly base: Profile | undefined;
  readonly requestUri: string;
  /** `", uri="…", response="`: what stands between nonce and response of an answer. */
  readonly untilResponse: Uint8Array;
  /** Seconds that are asked for: the accounts' wish, or what a 423 raised it to. */
  expiresSec: number;
  /** Accounts of this profile, and profiles redirected from it. */
  uses = 0;
  /** By algorithm. */
  readonly #ha2: (Uint8Array | undefined)[] = [undefined, undefined, undefined, undefined];
  readonly #templates: RegisterTemplate[] = [];

  constructor(id: number, key: ProfileKey, registrar: Registrar, base: Profile | undefined) {
    this.id = id;
    this.key = key;
    this.registrar = registrar;
    this.base = base;
    this.expiresSec = key.expiresSec;
    this.requestUri = key.redirectedUri ?? `sip:${domainText(key.domain)}`;
    this.untilResponse = new TextEncoder().encode(`", uri="${this.requestUri}", response="`);
  }

  /** The registrar accepts nothing shorter. */
  raiseExpires(sec: number): void {
    this.expiresSec = Math.min(Math.max(this.expiresSec, sec), expiresSecMax);
  }

  /** HOT. H(REGISTER:uri) in hex. */
  ha2(algorithm: KnownAlgorithmId): Uint8Array {
    return (this.#ha2[algorithm] ??= hashOf(algorithm, this.requestUri));
  }

  /** HOT. The template for a REGISTER that leaves by this transport from this address, with a Contact at that port. */
  template(transport: Transport, local: LocalAddress, contactPort: number, plain: boolean): RegisterTemplate {
    const templates = this.#templates;
    for (let n = 0; n < templates.length; n++) {
      const known = templates[n]!;
      if (
        known.port === local.port &&
        known.contactPort === contactPort &&
        known.plain === plain &&
        known.transport === transport &&
        known.host === local.host
      ) {
        return known;
      }
    }
    if (templates.length >= templatesMax) templates.shift();
    const made = new RegisterTemplate({
      requestUri: this.requestUri,
      domain: domainText(this.key.domain),
      userAgent: this.key.userAgent,
      transport,
      local,
      contactPort,
      plain,
    });
    templates.push(made);
    return made;
  }
}

const digest = new DigestWriter();

function hashOf(algorithm: KnownAlgorithmId, requestUri: string): Uint8Array {
  const text = new TextEncoder().encode(`REGISTER:${requestUri}`);
  const hex = new Uint8Array(algorithm === Algorithm.md5 ? 32 : 64);
  digest.hash(algorithm, text, 0, text.length, hex, 0);
  return hex;
}

/** A domain as it stands in URIs: a bare IPv6 address gets its brackets. */
export function domainText(domain: string): string {
  return /^[0-9a-f:.]*:[0-9a-f:.]*:/i.test(domain) ? formatHost(domain) : domain;
}

/** Interned profiles, by number (0 is none) and by key. */
export class Profiles {
  readonly #registrarOf: (key: ProfileKey) => Registrar;
  readonly #byId: (Profile | undefined)[] = [undefined];
  readonly #byKey = new Map<string, Profile>();
  #last: Profile | undefined;
  readonly #free: number[] = [];

  /** `registrarOf` makes or finds the registrar of a target. */
  constructor(registrarOf: (key: ProfileKey) => Registrar) {
    this.#registrarOf = registrarOf;
  }

  /** HOT. @throws RangeError for a number that is not in use: a bug. */
  get(id: number): Profile {
    const profile = this.#byId[id];
    if (profile === undefined) throw new RangeError(`no profile ${id}`);
    return profile;
  }

  /** The profile for `key`, one use more. */
  acquire(key: ProfileKey, base?: Profile): Profile {
    // The very same key object: accounts of one provider come by the thousand.
    if (this.#last?.key === key && this.#last.uses > 0) {
      this.#last.uses++;
      return this.#last;
    }
    const text = keyText(key);
    let profile = this.#byKey.get(text);
    if (profile === undefined) {
      const id = this.#free.pop() ?? this.#byId.length;
      profile = new Profile(id, key, this.#registrarOf(key), base);
      this.#byId[id] = profile;
      this.#byKey.set(text, profile);
      if (base !== undefined) base.uses++;
    }
    profile.uses++;
    this.#last = profile;
    return profile;
  }

  /** One use less; the last one forgets the profile. Returns whether it was the last. */
  release(profile: Profile): boolean {
    if (--profile.uses > 0) return false;
    this.#byKey.delete(keyText(profile.key));
    this.#byId[profile.id] = undefined;
    this.#free.push(profile.id);
    if (profile.base !== undefined) this.release(profile.base);
    return true;
  }
}
