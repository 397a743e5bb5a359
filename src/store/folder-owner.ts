import { statSync } from "node:fs";
import { StoreFault } from "./faults.ts";

/** Throws StoreFault, in words, when the data folder is another user's: what we write there its server could not open. */
export function refuseOthersFolder(dataDir: string): void {
  const owner = statSync(dataDir).uid;
  if (owner !== process.getuid?.()) {
    throw new StoreFault(
      `${dataDir} belongs to another user (${owner}): run this as that user, with \`runuser -u NAME --\``,
    );
  }
}
