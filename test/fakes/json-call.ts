/** A server that does not keep up says for how long; on loopback it is asked sooner. */
const askAgainMs = 50;

/**
 * One HTTP call with a bearer token, as an app makes it: it asks again when the server does not keep up, as it may on a busy machine. `body`
 * of the answer is undefined when it has none.
 */
export async function jsonCall(
  url: string,
  method: string,
  token: string,
  body: unknown,
): Promise<{ readonly status: number; readonly body: unknown }> {
  for (;;) {
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer = text === "" ? undefined : (JSON.parse(text) as { readonly code?: string });
    if (answer?.code !== "overloaded") return { status: response.status, body: answer };
    await Bun.sleep(askAgainMs);
  }
}
