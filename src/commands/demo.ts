import { openDemoPage } from "../demo/page-server.ts";
import { tellStory, type DemoServer } from "../demo/story.ts";
import { terminalLadder } from "../demo/terminal-ladder.ts";
import { startDemoServer } from "./demo-server.ts";
import type { CommandIo } from "./io.ts";

/**
 * `wakeline demo`: the whole story in one process on loopback, in a temporary folder. Exit code 0 when every step happened. With `page`: a
 * page with two browser phones instead, until SIGINT or SIGTERM.
 */
export async function runDemo(args: { readonly page: boolean; readonly port: number }, io: CommandIo): Promise<number> {
  let stop: (() => Promise<void>) | undefined;
  const start = async (webhookUrl: string): Promise<DemoServer> => {
    const server = await startDemoServer(webhookUrl);
    stop = () => server.stop();
    return server;
  };
  try {
    return args.page ? await servePage(args.port, start, io) : await tell(start, io);
  } finally {
    await stop?.();
  }
}

async function tell(start: (webhookUrl: string) => Promise<DemoServer>, io: CommandIo): Promise<number> {
  const ladder = terminalLadder(
    (line) => io.out(line),
    () => performance.now(),
  );
  ladder.head();
  const outcome = await tellStory(ladder, start);
  io.out(
    outcome.ok
      ? `every step happened (${outcome.steps})`
      : `stopped after ${outcome.steps} steps, at: ${outcome.failed ?? ""}`,
  );
  return outcome.ok ? 0 : 1;
}

async function servePage(
  port: number,
  start: (webhookUrl: string) => Promise<DemoServer>,
  io: CommandIo,
): Promise<number> {
  const page = await openDemoPage(port, start);
  io.out(`two phones that sleep: open ${page.url} in a browser; Ctrl-C ends`);
  io.out(`what an operator sees of them: ${page.operatorUrl}`);
  await new Promise<void>((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
  await page.close();
  return 0;
}
