import { writeSync } from "node:fs";
import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";

/** Names that never reach a log line, wherever they stand in the fields. */
const secretField = /^(password|secret|ha1|hash|token|ticket|authorization|key|nonce|body|sdp)$/i;
const lineBytesMax = 4096;

type Fields = Readonly<Record<string, unknown>>;

/** Events named `noun.verb`, ids as fields; secrets, tokens and bodies never. */
export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
}

function plain(name: string, value: unknown): unknown {
  if (secretField.test(name)) return "[masked]";
  if (value instanceof Error) return value.stack ?? value.message;
  return value;
}

function writeLine(record: LogRecord): void {
  const fields: Record<string, unknown> = {
    at: new Date(record.timestamp).toISOString(),
    level: record.level,
    event: record.rawMessage,
    thread: record.category[1] ?? "main",
  };
  for (const [name, value] of Object.entries(record.properties)) fields[name] = plain(name, value);
  let line = JSON.stringify(fields);
  // One write of at most 4,096 bytes stays whole when several threads write to one pipe.
  if (Buffer.byteLength(line) >= lineBytesMax) {
    line = JSON.stringify({
      at: fields.at,
      level: fields.level,
      event: fields.event,
      thread: fields.thread,
      cut: line.slice(0, 2000),
    });
  }
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // A closed or full stderr must not stop the server; there is nowhere left to say so.
  }
}

/** Sets the process's (or worker's) sink and level; call once a thread. */
export function startLog(level: "debug" | "info" | "warning" | "error"): void {
  configureSync({
    reset: true,
    sinks: { line: writeLine },
    loggers: [
      { category: ["wakeline"], sinks: ["line"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: [], lowestLevel: "fatal" },
    ],
  });
}

/** `thread` names the writer: "main", "shard 0", "store". */
export function openLog(thread: string): Log {
  const logger = getLogger(["wakeline", thread]);
  return {
    debug: (event, fields) => logger.debug(event, { ...fields }),
    info: (event, fields) => logger.info(event, { ...fields }),
    warn: (event, fields) => logger.warn(event, { ...fields }),
    error: (event, fields) => logger.error(event, { ...fields }),
  };
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
