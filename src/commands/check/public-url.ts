import type { Config } from "../../config/config.ts";
import { isDataDirLocked } from "../../store/lock.ts";
import { record } from "../operator-call.ts";
import { inWords, note, problem, type Finding } from "./finding.ts";

const askMs = 5_000;

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** While a server runs on the data folder: does `public_url` lead to it, its certificate held against the system's CAs as a phone does? */
export async function checkPublicUrl({ dataDir, publicUrl }: Config, get: Fetch): Promise<readonly Finding[]> {
  if (!isDataDirLocked(dataDir)) return [];
  const url = `${publicUrl}/.well-known/wakeline.json`;
  let response: Response;
  let text: string;
  try {
    response = await get(url, { redirect: "manual", signal: AbortSignal.timeout(askMs) });
    text = await response.text();
  } catch (cause) {
    return [
      note(
        `public_url: ${url} cannot be reached from here (${inWords(cause)}): try it from a phone's network; where it fails too, phones find no server`,
      ),
    ];
  }
  const { name, api } = record(parsed(text));
  if (name !== "wakeline") {
    return [
      problem(
        `public_url: ${publicUrl} leads to something that is not Wakeline (it answers ${response.status}): look at DNS and the proxy`,
      ),
    ];
  }
  if (api === publicUrl) return [];
  return [
    problem(
      `public_url: ${publicUrl} leads to a Wakeline that calls itself ${String(api)}: another server, or this one before it was restarted`,
    ),
  ];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
