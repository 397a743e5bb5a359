const answerMsMax = 2_000;

/**
 * Tells the load registrar to be deaf for so many seconds. Rejects with an Error when it does not say that it will: another
 * registrar than ours does not know this.
 */
export async function askSilence(host: string, port: number, sec: number): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const socket = await Bun.udpSocket({ socket: { data: () => answered.resolve() } });
  const timer = setTimeout(
    () => answered.reject(new Error("the registrar knows no silence: --silence needs bench/load/registrar.ts")),
    answerMsMax,
  );
  try {
    socket.send(`wakeline-silence ${sec}`, port, host === "localhost" ? "127.0.0.1" : host);
    await answered.promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}
