import { exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT, type JWK } from "jose";
import type { DeviceId } from "../base/ids.ts";
import type { Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";

const algorithm = "EdDSA";
/** Fixed, so that a server that gets a new address keeps its phones. */
const issuer = "wakeline";
const audience = "wakeline:device";
const settingName = "deviceTokenKeys";
/** Ours are about 300 bytes. */
const tokenCharsMax = 1_024;
/** Public keys kept for tokens that earlier private keys signed. */
const keysMax = 16;

interface StoredKeys {
  /** The one that signs. */
  readonly current: { readonly kid: string; readonly privateKey: JWK };
  /** All that verify, newest first. */
  readonly publicKeys: readonly { readonly kid: string; readonly key: JWK }[];
}

type VerifyKey = Awaited<ReturnType<typeof importJWK>>;

/** Whom a token names. */
export interface TokenHolder {
  readonly deviceId: DeviceId;
  readonly app: string;
}

type Settings = Pick<Store, "setting" | "putSetting">;

/**
 * Device tokens: JWTs signed with Ed25519, without an end: a token lives as long as its device does. Verified with our own key
 * of the header's `kid` only; algorithm, issuer and audience are fixed, and no key in a header is ever looked at.
 */
export class DeviceTokens {
  readonly #settings: Settings;
  readonly #clock: Clock;
  readonly #verifyKeys = new Map<string, VerifyKey>();
  #stored: StoredKeys;
  #signKey: VerifyKey;

  private constructor(settings: Settings, clock: Clock, stored: StoredKeys, signKey: VerifyKey) {
    this.#settings = settings;
    this.#clock = clock;
    this.#stored = stored;
    this.#signKey = signKey;
  }

  /** Reads the keys from the store, or makes the first one. Rejects when the stored ones cannot be read. */
  static async open(settings: Settings, clock: Clock): Promise<DeviceTokens> {
    const text = settings.setting(settingName);
    let stored: StoredKeys;
    if (text === undefined) {
      stored = await nextKeys([]);
      await settings.putSetting(settingName, JSON.stringify(stored));
    } else stored = JSON.parse(text) as StoredKeys;
    const tokens = new DeviceTokens(settings, clock, stored, await importJWK(stored.current.privateKey, algorithm));
    await tokens.#importPublic();
    return tokens;
  }

  issue(holder: TokenHolder): Promise<string> {
    return new SignJWT({ app: holder.app })
      .setProtectedHeader({ alg: algorithm, kid: this.#stored.current.kid, typ: "JWT" })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(holder.deviceId)
      .setIssuedAt(Math.floor(this.#clock.wallMs() / 1_000))
      .sign(this.#signKey);
  }

  /** Undefined for whatever is not a token of ours. */
  async verify(token: string): Promise<TokenHolder | undefined> {
    if (token.length > tokenCharsMax) return undefined;
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const key = kid === undefined ? undefined : this.#verifyKeys.get(kid);
          if (key === undefined) throw new Error("unknown key");
          return key;
        },
        {
          algorithms: [algorithm],
          issuer,
          audience,
          requiredClaims: ["sub"],
          currentDate: new Date(this.#clock.wallMs()),
        },
      );
      const { sub, app } = payload;
      return typeof sub === "string" && typeof app === "string" ? { deviceId: sub as DeviceId, app } : undefined;
    } catch {
      return undefined;
    }
  }

  /** RFC 7517. */
  jwks(): { readonly keys: readonly JWK[] } {
    return {
      keys: this.#stored.publicKeys.map(({ kid, key }) => ({ ...key, kid, alg: algorithm, use: "sig" })),
    };
  }

  /** New tokens are signed with a new key; the old private key is forgotten, its tokens stay good. */
  async rotate(): Promise<void> {
    const stored = await nextKeys(this.#stored.publicKeys);
    const signKey = await importJWK(stored.current.privateKey, algorithm);
    await this.#settings.putSetting(settingName, JSON.stringify(stored));
    this.#stored = stored;
    this.#signKey = signKey;
    await this.#importPublic();
  }

  async #importPublic(): Promise<void> {
    this.#verifyKeys.clear();
    for (const { kid, key } of this.#stored.publicKeys) this.#verifyKeys.set(kid, await importJWK(key, algorithm));
  }
}

async function nextKeys(earlier: StoredKeys["publicKeys"]): Promise<StoredKeys> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const kid = crypto.randomUUID();
  return {
    current: { kid, privateKey: await exportJWK(privateKey) },
    publicKeys: [{ kid, key: await exportJWK(publicKey) }, ...earlier].slice(0, keysMax),
  };
}
