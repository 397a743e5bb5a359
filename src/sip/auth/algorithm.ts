/** The hash algorithms of SIP digest (RFC 8760 §2.1), weakest first, so that `<` compares strength. */
export const Algorithm = {
  /** Not one of ours. */
  unknown: 0,
  md5: 1,
  sha256: 2,
  sha512t256: 3,
} as const;
export type AlgorithmId = (typeof Algorithm)[keyof typeof Algorithm];
export type KnownAlgorithmId = Exclude<AlgorithmId, 0>;
export type AlgorithmName = "MD5" | "SHA-256" | "SHA-512-256";

const names = ["", "MD5", "SHA-256", "SHA-512-256"] as const;

/** The name as it stands in `algorithm=`, without `-sess`; "" for `unknown`. */
export function algorithmName(id: KnownAlgorithmId): AlgorithmName;
export function algorithmName(id: AlgorithmId): AlgorithmName | "";
export function algorithmName(id: AlgorithmId): AlgorithmName | "" {
  return names[id];
}

/** A name in any case, with or without `-sess`; `unknown` when it is not one of ours. */
export function algorithmOf(name: string): AlgorithmId {
  const upper = name.toUpperCase();
  return Math.max(0, names.indexOf((isSess(upper) ? upper.slice(0, -5) : upper) as AlgorithmName, 1)) as AlgorithmId;
}

/** Whether `name` is a `-sess` variant (RFC 7616 §3.4.2). */
export function isSess(name: string): boolean {
  return name.toUpperCase().endsWith("-SESS");
}

/** Characters of a hash in hexadecimal: 32 for MD5, 64 for the others (RFC 8760 §2.2). */
export function hexChars(id: KnownAlgorithmId): 32 | 64 {
  return id === Algorithm.md5 ? 32 : 64;
}

/** H(bytes) into `out`, which has room for `hexChars / 2` bytes. HOT: nothing is allocated. */
export function hashInto(id: KnownAlgorithmId, bytes: Uint8Array<ArrayBuffer>, out: Uint8Array<ArrayBuffer>): void {
  switch (id) {
    case Algorithm.md5:
      Bun.MD5.hash(bytes, out);
      return;
    case Algorithm.sha256:
      Bun.SHA256.hash(bytes, out);
      return;
    case Algorithm.sha512t256:
      Bun.SHA512_256.hash(bytes, out);
      return;
    default:
      id satisfies never;
  }
}

/** H(bytes) in lower-case hexadecimal. */
export function hashHex(id: KnownAlgorithmId, bytes: Uint8Array<ArrayBuffer>): string {
  switch (id) {
    case Algorithm.md5:
      return Bun.MD5.hash(bytes, "hex");
    case Algorithm.sha256:
      return Bun.SHA256.hash(bytes, "hex");
    case Algorithm.sha512t256:
      return Bun.SHA512_256.hash(bytes, "hex");
    default:
      return id satisfies never;
  }
}
