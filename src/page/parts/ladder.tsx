import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Rung } from "../api/answers.ts";
import { layoutLadder, type LadderArrow } from "../model/ladder-layout.ts";
import { millis } from "../words/figures.ts";

const widthMin = 260;
/** Wider, arrows get too long to follow. */
const widthMax = 860;
const parties: Readonly<Record<Rung["from"], string>> = {
  server: "server",
  wakeline: "Wakeline",
  device: "device",
  push: "push service",
};

interface LadderProps {
  readonly rungs: readonly Rung[];
  readonly empty: string;
  readonly deviceName?: (device: string, nth: number) => string;
}

/** Who said what to whom, down the page; a rung opens on click, Enter or Space and shows its message, masked by the server. */
export function Ladder({ rungs, empty, deviceName }: LadderProps) {
  const place = useRef<HTMLDivElement>(null);
  const [widthPx, setWidth] = useState(widthMin);
  const [open, setOpen] = useState<number | undefined>(undefined);
  const message = useRef<HTMLElement>(null);
  const textId = useId();
  useEffect(() => {
    const root = place.current;
    if (root === null) return undefined;
    const measure = (): void => setWidth(Math.max(widthMin, Math.min(widthMax, root.clientWidth)));
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(root);
    return () => resized.disconnect();
  }, []);
  useEffect(() => {
    if (place.current !== null) uncover(place.current.querySelector(".rung.open"), message.current);
  }, [open]);
  const opened = open === undefined ? undefined : rungs[open];
  return (
    <div class="ladder">
      <div ref={place} class="drawing">
        {rungs.length === 0 ? (
          <p class="empty">{empty}</p>
        ) : (
          <Drawing
            rungs={rungs}
            widthPx={widthPx}
            deviceName={deviceName}
            open={open}
            textId={textId}
            onOpen={(rung) => setOpen(rung === open ? undefined : rung)}
          />
        )}
      </div>
      {rungs.length > 0 && (
        <section class="message" id={textId} ref={message} aria-label="Message" aria-live="polite">
          {opened === undefined ? (
            <p class="dim">Choose a message to read it. Credentials and bodies are masked.</p>
          ) : (
            <>
              <div class="title">
                <h3>{opened.label}</h3>
                <button type="button" onClick={() => setOpen(undefined)}>
                  Close
                </button>
              </div>
              <p class="dim">{endsOf(opened)}</p>
              {opened.text === undefined ? (
                <p>No SIP message: this is what Wakeline did or was told.</p>
              ) : (
                <pre tabIndex={0} aria-label="Text of the message">
                  {opened.text}
                </pre>
              )}
            </>
          )}
        </section>
      )}
    </div>
  );
}

function endsOf({ at, from, to }: Rung): string {
  const time = at.slice(11, 23);
  return from === to ? `${time} UTC, at ${parties[from]}` : `${time} UTC, ${parties[from]} to ${parties[to]}`;
}

function Drawing({
  rungs,
  widthPx,
  deviceName,
  open,
  textId,
  onOpen,
}: {
  readonly rungs: readonly Rung[];
  readonly widthPx: number;
  readonly deviceName: LadderProps["deviceName"];
  readonly open: number | undefined;
  readonly textId: string;
  readonly onOpen: (rung: number) => void;
}) {
  const { heightPx, headPx, rails, arrows, gaps } = layoutLadder(rungs, widthPx, deviceName);
  return (
    <svg
      width={widthPx}
      height={heightPx}
      viewBox={`0 0 ${widthPx} ${heightPx}`}
      role="group"
      aria-label={`Ladder of ${rungs.length} messages`}
    >
      {rails.map(({ key, name, x }) => (
        <g key={key} aria-hidden="true">
          <text class="rail-name" x={x} y={22} text-anchor="middle">
            {name}
          </text>
          <line class="rail" x1={x} x2={x} y1={headPx - 12} y2={heightPx} />
        </g>
      ))}
      {gaps.map(({ y, ms }) => (
        <text key={y} class="gap" x={0} y={y + 4} aria-hidden="true">
          ⋮ {millis(ms)}
        </text>
      ))}
      {arrows.map((arrow) => (
        <RungMark
          key={arrow.rung}
          arrow={arrow}
          rung={rungs[arrow.rung]}
          widthPx={widthPx}
          isOpen={open === arrow.rung}
          textId={textId}
          onOpen={() => onOpen(arrow.rung)}
        />
      ))}
    </svg>
  );
}

function RungMark({
  arrow,
  rung,
  widthPx,
  isOpen,
  textId,
  onOpen,
}: {
  readonly arrow: LadderArrow;
  readonly rung: Rung | undefined;
  readonly widthPx: number;
  readonly isOpen: boolean;
  readonly textId: string;
  readonly onOpen: () => void;
}) {
  if (rung === undefined) return null;
  const { y, fromX, toX, label, labelX, anchor, time, isOwn } = arrow;
  const ends = rung.from === rung.to ? `at ${parties[rung.from]}` : `${parties[rung.from]} to ${parties[rung.to]}`;
  const tone = /^[3-6]\d\d/.test(rung.label) ? "rung failing" : "rung";
  return (
    <g
      class={isOpen ? `${tone} open` : tone}
      role="button"
      // Attributes of SVG keep their case, and only this one counts.
      tabindex={0}
      aria-pressed={isOpen}
      aria-controls={textId}
      aria-label={`${rung.label}, ${ends}, ${time} seconds`}
      onClick={onOpen}
      onKeyDown={(event) => {
        if (event.key === "Enter" || event.key === " ") onOpen();
        else if (event.key === "ArrowDown") focusOn(event.currentTarget.nextElementSibling);
        else if (event.key === "ArrowUp") focusOn(event.currentTarget.previousElementSibling);
        else return;
        event.preventDefault();
      }}
    >
      <rect class="hit" x={0} y={y - 24} width={widthPx} height={32} rx={4} />
      <text class="time" x={0} y={y + 1}>
        {time}
      </text>
      {isOwn ? (
        <circle class="own" cx={fromX} cy={y - 3} r={4} />
      ) : (
        <>
          <line class="arrow" x1={fromX} x2={toX} y1={y} y2={y} />
          <path class="head" d={headOf(fromX, toX, y)} />
        </>
      )}
      <text class="label" x={labelX} y={isOwn ? y + 1 : y - 7} text-anchor={anchor}>
        {label}
      </text>
    </g>
  );
}

/** The rung above or below, when there is one. */
function focusOn(sibling: Element | null): void {
  if (sibling instanceof SVGElement && sibling.classList.contains("rung")) sibling.focus();
}

/** On a narrow screen the message lies over the drawing: the rung it belongs to moves out from under it. */
function uncover(rung: Element | null, message: Element | null): void {
  if (rung === null || message === null) return;
  const [under, over] = [rung.getBoundingClientRect(), message.getBoundingClientRect()];
  const isBeside = over.left >= under.right || over.right <= under.left;
  if (!isBeside && under.bottom > over.top) scrollBy(0, under.bottom - over.top + 8);
}

/** Point of an arrow that ends at `toX`. */
function headOf(fromX: number, toX: number, y: number): string {
  const back = toX > fromX ? -8 : 8;
  return `M${toX} ${y}l${back} -4v8z`;
}
