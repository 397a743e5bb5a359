import { type DeviceName, railKey, railsOf } from "../../base/ladder.ts";
import type { Rung } from "../api/answers.ts";

const rowPx = 34;
const gapPx = 24;
const headPx = 44;
const footPx = 12;
/** A silence this long is written between the rungs. */
const gapMs = 1_000;
/** Width of a letter at 12 px in the fonts of systems, rounded up. */
const letterPx = 6.8;
const wideMinPx = 560;

interface LadderRail {
  readonly key: string;
  readonly name: string;
  readonly x: number;
}

export interface LadderArrow {
  /** Index of its rung. */
  readonly rung: number;
  readonly y: number;
  readonly fromX: number;
  readonly toX: number;
  /** As much of the label as there is room for. */
  readonly label: string;
  readonly labelX: number;
  readonly anchor: "start" | "middle" | "end";
  /** Time since the first rung, `+1.234`. */
  readonly time: string;
  /** Both ends on one rail: something that happened there. */
  readonly isOwn: boolean;
}

export interface LadderLayout {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly headPx: number;
  readonly timePx: number;
  readonly rails: readonly LadderRail[];
  readonly arrows: readonly LadderArrow[];
  /** Silences between rungs: where, and how long. */
  readonly gaps: readonly { readonly y: number; readonly ms: number }[];
}

/** Where everything of a ladder stands, in a drawing `widthPx` wide. `deviceName` names a device for its rail. */
export function layoutLadder(rungs: readonly Rung[], widthPx: number, deviceName?: DeviceName): LadderLayout {
  const timePx = widthPx >= wideMinPx ? 72 : 46;
  const rails = placeRails(rungs, timePx, widthPx, deviceName);
  const xOf = new Map(rails.map(({ key, x }) => [key, x]));
  const firstMs = rungs[0] === undefined ? 0 : Date.parse(rungs[0].at);
  const arrows: LadderArrow[] = [];
  const gaps: { y: number; ms: number }[] = [];
  let y = headPx;
  let beforeMs = firstMs;
  for (const [rung, { at, from, to, device, label, detail }] of rungs.entries()) {
    const atMs = Date.parse(at);
    if (atMs - beforeMs >= gapMs) {
      gaps.push({ y: y + gapPx / 2 + 8, ms: atMs - beforeMs });
      y += gapPx;
    }
    beforeMs = atMs;
    y += rowPx;
    const fromX = xOf.get(railKey(from, device)) ?? timePx;
    const toX = xOf.get(railKey(to, device)) ?? timePx;
    const isOwn = fromX === toX;
    const place = isOwn ? ownLabel(label, fromX, widthPx) : betweenLabel(label, detail, fromX, toX);
    arrows.push({
      rung,
      y,
      fromX,
      toX,
      isOwn,
      ...place,
      time: `+${((atMs - firstMs) / 1_000).toFixed(timePx > 50 ? 3 : 2)}`,
    });
  }
  return { widthPx, heightPx: y + rowPx / 2 + footPx, headPx, timePx, rails, arrows, gaps };
}

function placeRails(
  rungs: readonly Rung[],
  timePx: number,
  widthPx: number,
  deviceName: DeviceName | undefined,
): readonly LadderRail[] {
  const ends = rungs.map(({ from, to, device = "" }) => ({ from, to, deviceId: device }));
  const rails = railsOf(ends, deviceName);
  const lane = (widthPx - timePx) / rails.length;
  return rails.map(({ key, name }, nth) => ({
    key,
    name: fitLabel(name, lane - 4),
    x: Math.round(timePx + lane * (nth + 0.5)),
  }));
}

function betweenLabel(
  label: string,
  detail: string | undefined,
  fromX: number,
  toX: number,
): Pick<LadderArrow, "label" | "labelX" | "anchor"> {
  const room = Math.abs(toX - fromX) - 12;
  return { label: fitLabel(label, room, detail), labelX: (fromX + toX) / 2, anchor: "middle" };
}

function ownLabel(label: string, x: number, widthPx: number): Pick<LadderArrow, "label" | "labelX" | "anchor"> {
  return { label: fitLabel(label, widthPx - x - 16), labelX: x + 12, anchor: "start" };
}

/** The label with its detail, else the label, else its first word (a method or a status), else what fits with an ellipsis. */
export function fitLabel(label: string, roomPx: number, detail?: string): string {
  const letters = Math.max(1, Math.floor(roomPx / letterPx));
  if (detail !== undefined && label.length + detail.length + 3 <= letters) return `${label} (${detail})`;
  if (label.length <= letters) return label;
  const [first = ""] = label.split(" ", 1);
  if (first !== "" && first.length <= letters) return first;
  return letters < 3 ? first.slice(0, letters) : `${first.slice(0, letters - 1)}…`;
}
