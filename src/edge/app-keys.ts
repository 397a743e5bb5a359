import { createHash, timingSafeEqual } from "node:crypto";
import { createRemoteJWKSet, errors, jwtVerify, type JWTVerifyGetKey } from "jose";
import type { AppConfig } from "../config/config.ts";
import type { Clock } from "../time/clock.ts";

/** A token of an app's issuer may carry a few claims of its own. */
const bearerCharsMax = 8_192;
const jwksTimeoutMs = 5_000;
/** Signatures only: no `none`, no shared secret. */
const issuerAlgorithms = [
  "EdDSA",
  "Ed25519",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
];

/** Compared against when an app has no key: it takes as long, and nothing hashes to it. */
const noKey = Buffer.alloc(32);

export type AppVerdict = "accepted" | "refused" | "unavailable";

/** Who may enrol devices of an app: the bearer of its enrolment key, or of a token by its issuer. */
export class AppKeys {
  readonly #clock: Clock;
  #apps: ReadonlyMap<string, AppConfig> = new Map();
  #issuerKeys: ReadonlyMap<string, JWTVerifyGetKey> = new Map();

  constructor(apps: readonly AppConfig[], clock: Clock) {
    this.#clock = clock;
    this.replace(apps);
  }

  /** Takes the apps of a configuration that was read again. */
  replace(apps: readonly AppConfig[]): void {
    this.#apps = new Map(apps.map((app) => [app.id, app]));
    this.#issuerKeys = new Map(
      apps.flatMap(({ id, jwksUrl }) =>
        jwksUrl === undefined ? [] : [[id, createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: jwksTimeoutMs })]],
      ),
    );
  }

  app(id: string): AppConfig | undefined {
    return this.#apps.get(id);
  }

  /** An unknown app and a wrong key are told apart neither by answer nor by time. "unavailable": the issuer's keys could not be fetched. */
  async check(appId: string, bearer: string): Promise<AppVerdict> {
    if (bearer.length > bearerCharsMax) return "refused";
    const app = this.#apps.get(appId);
    const expected = app?.keySha256 === undefined ? noKey : Buffer.from(app.keySha256, "hex");
    const given = createHash("sha256").update(bearer).digest();
    if (expected.length === given.length && timingSafeEqual(expected, given)) return "accepted";
    const keys = this.#issuerKeys.get(appId);
    return app === undefined || keys === undefined ? "refused" : this.#checkIssued(app, keys, bearer);
  }

  /** Without issuer and audience in the configuration no token is taken: any token of that issuer would do. */
  async #checkIssued(app: AppConfig, keys: JWTVerifyGetKey, token: string): Promise<AppVerdict> {
    const { issuer, audience } = app;
    if (issuer === undefined || audience === undefined) return "refused";
    try {
      await jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms: issuerAlgorithms,
        currentDate: new Date(this.#clock.wallMs()),
      });
      return "accepted";
    } catch (cause) {
      const isOurs =
        cause instanceof errors.JOSEError &&
        !(cause instanceof errors.JWKSTimeout) &&
        cause.code !== "ERR_JOSE_GENERIC";
      return isOurs ? "refused" : "unavailable";
    }
  }
}
