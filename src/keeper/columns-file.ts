import { closeSync, ftruncateSync, fstatSync, openSync } from "node:fs";
import { type Columns, columnsBytes, openColumns, rowsMax } from "./columns.ts";

/** Only we may read who is registered where. */
const fileMode = 0o600;

/**
 * Maps `path`, made when it is missing. The file is sparse: it has room for every row there can be and takes the disk and
 * memory of those in use. Writes survive the death of the process; the system puts them on disk in its own time.
 * @throws Error of node:fs when the file cannot be opened, made or mapped.
 */
export function openColumnsFile(path: string, rows: number = rowsMax): Columns {
  const bytes = columnsBytes(rows);
  const file = openSync(path, "a+", fileMode);
  try {
    // A file of another size is of another layout: emptied, so that no half of an old row is taken for a new one.
    if (fstatSync(file).size !== bytes) {
      ftruncateSync(file, 0);
      ftruncateSync(file, bytes);
    }
  } finally {
    closeSync(file);
  }
  return openColumns(Bun.mmap(path));
}
