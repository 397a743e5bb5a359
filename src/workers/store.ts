import { backupTo } from "../store/backup.ts";
import { Writer } from "../store/writer.ts";
import type { WriterCommand, WriterReport } from "../store/writer-protocol.ts";

/** Entry of the store worker: the only thread that writes the database. See store/writer.ts. */
declare const self: Worker;

let writer: Writer | undefined;

function report(item: WriterReport): void {
  self.postMessage(item, []);
}

function inWords(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

self.addEventListener("message", (message: MessageEvent<WriterCommand>) => {
  const command = message.data;
  switch (command.kind) {
    case "open":
      try {
        writer = new Writer(command, report);
        report({ kind: "opened" });
      } catch (cause) {
        report({ kind: "failed", text: inWords(cause) });
      }
      return;
    case "backup":
      try {
        backupTo(command.dataDir, command.file);
        report({ kind: "backedUp" });
      } catch (cause) {
        report({ kind: "failed", text: inWords(cause) });
      }
      return;
    case "batch":
    case "rotate":
    case "close":
      // A bug in here throws and ends the thread; the main thread starts another.
      writer?.on(command);
      return;
    default:
      command satisfies never;
  }
});
