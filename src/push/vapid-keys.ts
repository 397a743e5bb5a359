import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import webpush from "web-push";

/** A VAPID key pair (RFC 8292), base64url: the public one is what browsers subscribe with. */
export interface VapidKeys {
  readonly publicKey: string;
  readonly privateKey: string;
}

function read(file: string): VapidKeys | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as { readonly code?: string }).code === "ENOENT") return undefined;
    throw cause;
  }
  const { publicKey, privateKey } = JSON.parse(text) as Partial<VapidKeys>;
  if (typeof publicKey !== "string" || typeof privateKey !== "string") throw new Error(`${file} holds no VAPID keys`);
  return { publicKey, privateKey };
}

/**
 * The key pair kept in `file`, made and written (mode 0600) at the first call. Lost keys cannot be replaced: every browser
 * would have to subscribe again. So a file that cannot be read is an error, never a reason for new keys.
 */
export function openVapidKeys(file: string): VapidKeys {
  const kept = read(file);
  if (kept !== undefined) return kept;
  const { publicKey, privateKey } = webpush.generateVAPIDKeys();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const fresh = `${file}.${process.pid}.new`;
  const descriptor = openSync(fresh, "wx", 0o600);
  try {
    writeSync(descriptor, `${JSON.stringify({ publicKey, privateKey })}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  try {
    // A link fails where a rename would overwrite: of two processes starting at once, both use the first one's keys.
    linkSync(fresh, file);
  } catch (cause) {
    if ((cause as { readonly code?: string }).code !== "EEXIST") throw cause;
  } finally {
    unlinkSync(fresh);
  }
  return read(file) ?? { publicKey, privateKey };
}
