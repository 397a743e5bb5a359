import { done, refused, type Result } from "./problem.ts";

/** A subscription with everything in it is under 4 KB; a Web Push token under 2 KB. */
export const bodyBytesMax = 65_536;
/** The deepest body of the interface has four levels; the parser of the engine fails at some ten thousand. */
const depthMax = 16;

const quote = 0x22;
const backslash = 0x5c;

/** Whether arrays and objects nest deeper than `depthMax`, without parsing. Brackets inside strings do not count. */
function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inString) {
      if (byte === backslash) at++;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > depthMax) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return false;
}

const tooLarge = refused(413, "tooLarge", { detail: `a body has at most ${bodyBytesMax} bytes` });

/** The JSON value of a request, whatever its Content-Type. Never throws. Refusals: 413 over `bodyBytesMax`, 400 when it is no JSON. */
export async function readJson(request: Request): Promise<Result<unknown>> {
  if (Number(request.headers.get("content-length") ?? 0) > bodyBytesMax) return tooLarge;
  let bytes: Uint8Array;
  try {
    bytes = await request.bytes();
  } catch {
    return refused(400, "badBody", { detail: "the body did not arrive whole" });
  }
  if (bytes.length > bodyBytesMax) return tooLarge;
  if (bytes.length === 0) return refused(400, "badBody", { detail: "a JSON body is needed" });
  if (isTooDeep(bytes)) return refused(400, "badBody", { detail: `the body nests deeper than ${depthMax}` });
  try {
    return done<unknown>(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch {
    return refused(400, "badBody", { detail: "the body is not JSON in UTF-8" });
  }
}
