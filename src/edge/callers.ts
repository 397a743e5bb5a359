import type { Store, DeviceRecord } from "../store/types.ts";
import { limitKey } from "../net/address.ts";
import type { Clock } from "../time/clock.ts";
import type { DeviceTokens } from "./device-tokens.ts";
import { done, refused, type Result } from "./problem.ts";
import { RateLimiter } from "./rate-limiter.ts";

const addressesMax = 100_000;

/** What can be guessed at. Wrong ones from one address: some, for a carrier's NAT has broken apps behind it, then few. */
export type Guess = "appKey" | "token" | "ticket";
const guesses: Readonly<Record<Guess, { readonly burst: number; readonly perSec: number }>> = {
  appKey: { burst: 50, perSec: 0.5 },
  token: { burst: 100, perSec: 1 },
  ticket: { burst: 100, perSec: 1 },
};
/** Requests of one device: an app that starts with sixteen accounts needs about fifty; some poll. */
const perDevice = { burst: 600, perSec: 50, keysMax: 200_000 };
/** Requests from one address; a carrier's NAT has thousands of phones behind it. */
const perAddress = { burst: 10_000, perSec: 1_000, keysMax: addressesMax };

/** Test pushes that one address may ask for; a person presses a button. Web Push goes to whatever server a device has named. */
const testPushes = { burst: 100, perSec: 1, keysMax: addressesMax };

function tooMany(retryAfterSec: number): ReturnType<typeof refused> {
  return refused(429, "tooManyRequests", { retryAfterSec });
}

/** The token of `Authorization: Bearer …`; undefined when there is none. */
export function bearerOf(request: Request): string | undefined {
  const header = request.headers.get("authorization") ?? "";
  const token = /^bearer /i.test(header) ? header.slice(7).trim() : "";
  return token === "" ? undefined : token;
}

/** Tells who asks, and slows down who asks too often or guesses. */
export class Callers {
  readonly #store: Store;
  readonly #tokens: DeviceTokens;
  readonly #clock: Clock;
  readonly #guesses: Readonly<Record<Guess, RateLimiter>>;
  readonly #devices: RateLimiter;
  readonly #addressLimit: RateLimiter;
  readonly #testPushes: RateLimiter;
  readonly #addresses = new WeakMap<Request, string>();

  constructor(options: { readonly store: Store; readonly tokens: DeviceTokens; readonly clock: Clock }) {
    const { clock } = options;
    this.#store = options.store;
    this.#tokens = options.tokens;
    this.#clock = clock;
    const limiter = (guess: Guess) => new RateLimiter({ clock, ...guesses[guess], keysMax: addressesMax });
    this.#guesses = { appKey: limiter("appKey"), token: limiter("token"), ticket: limiter("ticket") };
    this.#devices = new RateLimiter({ clock, ...perDevice });
    this.#addressLimit = new RateLimiter({ clock, ...perAddress });
    this.#testPushes = new RateLimiter({ clock, ...testPushes });
  }

  /** Notes where a request came from; a refusal when that address asks too much. */
  arrived(request: Request, address: string): Result<undefined> {
    const key = limitKey(address);
    this.#addresses.set(request, key);
    const waitSec = this.#addressLimit.take(key);
    return waitSec > 0 ? tooMany(waitSec) : done(undefined);
  }

  /** Whether this address has guessed too often to be heard again now. */
  mayGuess(guess: Guess, request: Request): Result<undefined> {
    const waitSec = this.#guesses[guess].waitSec(this.#keyOf(request));
    return waitSec > 0 ? tooMany(waitSec) : done(undefined);
  }

  /** Counts a wrong key, token or ticket. */
  guessedWrong(guess: Guess, request: Request): void {
    this.#guesses[guess].take(this.#keyOf(request));
  }

  /** A refusal when this address has asked for too many test pushes, whichever devices they were for. */
  mayTestPush(request: Request): Result<undefined> {
    const waitSec = this.#testPushes.take(this.#keyOf(request));
    return waitSec > 0 ? tooMany(waitSec) : done(undefined);
  }

  /** The device of a request's bearer token. */
  async device(request: Request): Promise<Result<DeviceRecord>> {
    const bearer = bearerOf(request);
    return bearer === undefined
      ? refused(401, "unauthorized", { detail: "a device token is needed" })
      : this.deviceOf(request, bearer);
  }

  /** The device of a token. A right one is taken also from an address that guesses: signatures cannot be guessed. */
  async deviceOf(request: Request, token: string): Promise<Result<DeviceRecord>> {
    const holder = await this.#tokens.verify(token);
    const device = holder === undefined ? undefined : this.#store.device(holder.deviceId);
    if (device === undefined || device.app !== holder?.app) {
      const may = this.mayGuess("token", request);
      this.guessedWrong("token", request);
      return may.ok ? refused(401, "unauthorized", { detail: "the device token is not good" }) : may;
    }
    const waitSec = this.#devices.take(device.deviceId);
    if (waitSec > 0) return tooMany(waitSec);
    this.#store.touchDevice(device.deviceId, this.#clock.wallMs());
    return done(device);
  }

  /** The limits' key of the address a request came from; requests that no listener announced share one. */
  #keyOf(request: Request): string {
    return this.#addresses.get(request) ?? "unknown";
  }
}
