/**
 * What passed between the ends of a call or a registration, a step a rung: the operator's trace and calls, the demo and a failing
 * simulation all write their steps down like this, and all print them by `ladderText`.
 */
export interface Rung {
  /** Unix ms, or ms of any clock that all rungs of a ladder share. */
  readonly atMs: number;
  readonly from: string;
  /** The same as `from`: something that happened there. */
  readonly to: string;
  /** Tells one device's rail from another's, where an end is `device`. */
  readonly deviceId?: string;
  /** A method, a status with its reason, or what was done in words. */
  readonly label: string;
  /** What the label leaves open: of an answer, the method that it answers. */
  readonly detail?: string;
  /** The message for people, masked, one header a line. */
  readonly text?: string;
}

/** A party's line down the ladder. */
export interface Rail {
  readonly key: string;
  readonly name: string;
}

/** What names a device for its rail; `nth` counts from 0. */
export type DeviceName = (deviceId: string, nth: number) => string;

const arrowChars = 25;
const timeChars = 12;
const deviceChars = 8;
const indent = " ".repeat(timeChars + 2);
const shaftMin = 3;

/** Which rail an end stands on; each device has its own. */
export function railKey(end: string, deviceId: string | undefined): string {
  return end === "device" ? `device ${deviceId ?? ""}` : end;
}

/** server | Wakeline | each device in order of appearance | push, of which the first two always stand. */
export function railsOf(
  rungs: readonly Pick<Rung, "from" | "to" | "deviceId">[],
  deviceName: DeviceName = (_deviceId, nth) => (nth === 0 ? "Device" : `Device ${nth + 1}`),
): readonly Rail[] {
  const devices = new Set<string>();
  let hasPush = false;
  for (const { from, to, deviceId } of rungs) {
    hasPush ||= from === "push" || to === "push";
    if (from === "device" || to === "device") devices.add(deviceId ?? "");
  }
  return [
    { key: "server", name: "Server" },
    { key: "wakeline", name: "Wakeline" },
    ...[...devices].map((deviceId, nth) => ({ key: railKey("device", deviceId), name: deviceName(deviceId, nth) })),
    ...(hasPush ? [{ key: "push", name: "Push" }] : []),
  ];
}

/** A device by the end of its id: the beginning of ids is the time, and much the same. */
export function shortDevice(deviceId: string): string {
  return `Device ${deviceId.slice(-deviceChars)}`;
}

/** Label of a message by its start line: `INVITE`, or `200 OK`. A line that is no start line is its own label. */
export function labelOf(startLine: string): string {
  if (startLine.startsWith("SIP/2.0 ")) return startLine.slice("SIP/2.0 ".length);
  return /^(\S+) \S+ SIP\/2\.0$/.exec(startLine)?.[1] ?? startLine;
}

/** The line above the rungs: each rail's name over its rail. */
export function ladderHead(rails: readonly Rail[]): string {
  return (
    indent +
    rails
      .map(({ name }) =>
        shown(name)
          .slice(0, arrowChars)
          .padEnd(arrowChars + 1),
      )
      .join("")
      .trimEnd()
  );
}

/** One rung, `sinceMs` after the first: time, arrow, and at the right its detail or whom a push is for. */
export function ladderLine(rails: readonly Rail[], rung: Rung, sinceMs: number): string {
  const from = railAt(rails, railKey(rung.from, rung.deviceId));
  const to = railAt(rails, railKey(rung.to, rung.deviceId));
  const time = `${sinceMs.toFixed(1)} ms`.padStart(timeChars);
  const before = `│${" ".repeat(arrowChars)}`;
  if (from === to) return `${time}  ${before.repeat(from)}● ${shown(rung.label)}${behind(rung)}`;
  const left = Math.min(from, to);
  const right = Math.max(from, to);
  const arrow = shaft(shown(rung.label), (right - left) * (arrowChars + 1) - 1, from < to);
  const after = `${" ".repeat(arrowChars)}│`.repeat(rails.length - 1 - right);
  return `${time}  ${before.repeat(left)}│${arrow}│${after}${behind(rung)}`;
}

/**
 * A whole ladder in text, LF between lines, without one at the end. `rails`: as `railsOf` has them, devices by their ids, unless
 * given. `isLong`: each message under its rung. Control characters, which could steer a terminal, become spaces.
 */
export function ladderText(
  rungs: readonly Rung[],
  {
    rails = railsOf(rungs, shortDevice),
    isLong = false,
  }: { readonly rails?: readonly Rail[]; readonly isLong?: boolean } = {},
): string {
  const startMs = rungs[0]?.atMs ?? 0;
  const lines = [ladderHead(rails)];
  for (const rung of rungs) {
    lines.push(ladderLine(rails, rung, rung.atMs - startMs));
    if (isLong && rung.text !== undefined) lines.push(...messageLines(rung.text));
  }
  return lines.join("\n");
}

/** A rung's message, a line a header, under the arrow. */
export function messageLines(text: string): string[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => `${indent}  ${shown(line)}`);
}

function railAt(rails: readonly Rail[], key: string): number {
  return Math.max(
    0,
    rails.findIndex((rail) => rail.key === key),
  );
}

/** What stands at the right: the detail, and the device that a push is for, whose rail the arrow does not touch. */
function behind({ detail, deviceId, from, to }: Rung): string {
  if (detail !== undefined) return `  ${shown(detail)}`;
  const isPush = from === "push" || to === "push";
  return isPush && deviceId !== undefined ? `  ${shown(shortDevice(deviceId))}` : "";
}

function shaft(label: string, width: number, isToRight: boolean): string {
  const text = ` ${label.slice(0, width - 2 - 2 * shaftMin)} `;
  const before = Math.floor((width - 1 - text.length) / 2);
  const line = `${"─".repeat(before)}${text}${"─".repeat(width - 1 - text.length - before)}`;
  return isToRight ? `${line}▶` : `◀${line}`;
}

function shown(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, " ");
}
