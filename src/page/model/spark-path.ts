/** Room above and below the line. */
const marginPx = 3;

/** SVG path of a line through the values, by time: first at the left edge, last at the right; "" for fewer than two. */
export function sparkPath(
  atSec: readonly number[],
  values: readonly number[],
  widthPx: number,
  heightPx: number,
): string {
  const [first = 0, last = 0] = [atSec[0], atSec.at(-1)];
  if (values.length < 2 || last <= first) return "";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = heightPx - 2 * marginPx;
  return values
    .map((value, nth) => {
      const x = (((atSec[nth] ?? last) - first) / (last - first)) * widthPx;
      // What does not change is a line in the middle.
      const up = high === low ? 0.5 : (value - low) / (high - low);
      return `${nth === 0 ? "M" : "L"}${x.toFixed(1)} ${(marginPx + (1 - up) * room).toFixed(1)}`;
    })
    .join("");
}
