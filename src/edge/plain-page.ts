/** The page of a server without the operator's page: the figures of the summary, written out. */
export function plainPage(summary: () => unknown): (request: Request) => Response | undefined {
  return (request) => {
    if (new URL(request.url).pathname !== "/") return undefined;
    const figures = Bun.escapeHTML(JSON.stringify(summary(), undefined, 2));
    return new Response(
      `<!doctype html><html lang="en"><meta charset="utf-8"><title>Wakeline</title><h1>Wakeline</h1><pre>${figures}</pre></html>\n`,
      { headers: { "content-type": "text/html; charset=utf-8" } },
    );
  };
}
