import { openapi } from "@elysiajs/openapi";
import swaggerBundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import swaggerStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import { answerSchemas, type AnswerName } from "./answer-schemas.ts";
import { problemBody } from "./problem.ts";

const meanings: Readonly<Record<number, string>> = {
  200: "Done",
  201: "Created",
  202: "Under way",
  204: "Done, nothing to say",
  400: "The request cannot be read",
  401: "No good token",
  403: "The registrar refused the credentials, or the ticket is not good",
  404: "Unknown here, or another device's",
  405: "Another method is needed",
  409: "A limit is reached, or another device keeps the account at another server",
  413: "The body is longer than 64 KiB",
  422: "Fields that cannot be taken, each named",
  426: "Only a WebSocket can be opened here",
  429: "Asked too often: wait as long as Retry-After says",
  503: "Try again later: wait as long as Retry-After says",
};
/** The `code` that stands in a problem of this status most often. */
const usualCodes: Readonly<Record<number, string>> = {
  400: "badBody",
  401: "unauthorized",
  403: "credentialsRefused",
  404: "notFound",
  405: "methodNotAllowed",
  409: "limitReached",
  413: "tooLarge",
  422: "invalid",
  426: "upgradeRequired",
  429: "tooManyRequests",
  503: "registrarUnavailable",
};
const waits: ReadonlySet<number> = new Set([429, 503]);

function answerOf(status: number, name: AnswerName | undefined, code: string | undefined) {
  return {
    description: meanings[status] ?? "",
    ...(waits.has(status)
      ? { headers: { "retry-after": { description: "Seconds", schema: { type: "integer" as const } } } }
      : {}),
    ...(name === undefined
      ? {}
      : {
          content: {
            [name === "Problem" ? "application/problem+json" : "application/json"]: {
              schema: { $ref: `#/components/schemas/${name}` },
              example: name === "Problem" ? problemExample(status, code ?? "") : answerSchemas[name]["examples"]?.[0],
            },
          },
        }),
  };
}

function problemExample(status: number, code: string) {
  const refusal = { status, code, detail: meanings[status] ?? "" };
  if (status === 422) {
    return problemBody({
      ...refusal,
      detail: "some fields cannot be taken",
      faults: [{ field: "account.domain", detail: "must be a domain name or an address (IPv6 in brackets)" }],
    });
  }
  return problemBody(refusal);
}

/**
 * `responses` of an operation: status to the name of its schema, undefined for no body. Those that every call has stand in all of them.
 * `codes`: what stands in a problem's `code` where it is not the usual one.
 */
export function answers(
  byStatus: Readonly<Record<number, AnswerName | undefined>>,
  codes: Readonly<Record<number, string>> = {},
) {
  const all: Readonly<Record<number, AnswerName | undefined>> = { ...byStatus, 401: "Problem", 429: "Problem" };
  return Object.fromEntries(
    Object.entries(all).map(([status, name]) => [
      status,
      answerOf(Number(status), name, codes[Number(status)] ?? usualCodes[Number(status)]),
    ]),
  );
}

/** The same for an operation that writes to the store, which may be unable to. */
export function changeAnswers(
  byStatus: Readonly<Record<number, AnswerName | undefined>>,
  codes: Readonly<Record<number, string>> = {},
) {
  return 503 in byStatus
    ? answers(byStatus, codes)
    : answers({ ...byStatus, 503: "Problem" }, { ...codes, 503: "storeUnavailable" });
}

/** The same for an operation with a body, with what may be wrong about any body. */
export function bodyAnswers(
  byStatus: Readonly<Record<number, AnswerName | undefined>>,
  codes: Readonly<Record<number, string>> = {},
) {
  return changeAnswers({ ...byStatus, 400: "Problem", 413: "Problem", 422: "Problem" }, codes);
}

const text = { type: "string" as const };
const tunnelPath = {
  get: {
    tags: ["Tunnel"],
    summary: "SIP over WebSocket (RFC 7118), subprotocol `sip`",
    description: [
      "One SIP message a frame, text or binary, up to 64 KiB (longer ones close it with 1009). At once after opening come the INVITEs that wait for",
      "the device. Double CRLF is answered with a single one; a ping every 25 s; a peer silent for 60 s is closed. A second tunnel of the device",
      "takes over: the first is closed with 4001. Who asks: `Authorization: Bearer`, the ticket of a push, or the device token as `token`.",
    ].join(" "),
    parameters: [
      {
        name: "ticket",
        in: "query" as const,
        schema: text,
        description: "Of a push: the URL in its `tunnel` holds it already",
      },
      {
        name: "token",
        in: "query" as const,
        schema: text,
        description: "The device token, for browsers, which cannot set a header",
      },
    ],
    security: [{ deviceToken: [] }, {}],
    responses: {
      101: { description: "The tunnel is open" },
      ...answers(
        { 400: "Problem", 403: "Problem", 405: "Problem", 426: "Problem", 503: "Problem" },
        { 400: "subprotocol", 403: "ticketNotGood", 503: "full" },
      ),
    },
  },
};

function openDocument(summary: string, example: unknown) {
  return {
    get: {
      tags: ["Server"],
      summary,
      security: [],
      responses: {
        200: {
          description: "Done",
          content: { "application/json": { schema: { type: "object" as const }, example } },
        },
      },
    },
  };
}

const wellKnownPaths = {
  "/.well-known/wakeline.json": openDocument("What the server says of itself, to anybody", {
    name: "wakeline",
    version: "0.1.0",
    interface: 1,
    api: "https://push.example.com",
    tunnel: "wss://push.example.com/v1/tunnel",
    docs: "https://push.example.com/docs",
    egressAddresses: ["203.0.113.7"],
    vapidPublicKey: "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
  }),
  "/.well-known/jwks.json": openDocument("The keys that device tokens are signed with (RFC 7517)", {
    keys: [
      {
        kty: "OKP",
        crv: "Ed25519",
        x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        kid: "1",
        alg: "EdDSA",
        use: "sig",
      },
    ],
  }),
};

/** `/openapi.json`, made from the routes of the app that uses it. */
export function openApi(version: string) {
  return openapi({
    provider: null,
    specPath: "/openapi.json",
    documentation: {
      info: { title: "Wakeline", version, description: "A push server for SIP phones: the interface for apps." },
      tags: ["Devices", "Subscriptions", "Calls", "Tunnel", "Server"].map((name) => ({ name })),
      paths: { "/v1/tunnel": tunnelPath, ...wellKnownPaths },
      components: {
        schemas: answerSchemas as Record<string, object>,
        securitySchemes: {
          deviceToken: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
          appKey: { type: "http", scheme: "bearer", description: "The app's enrolment key, or a token of its issuer" },
        },
      },
      security: [{ deviceToken: [] }],
    },
  });
}

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Wakeline: interface for apps</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;
const start = `SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });\n`;

// Swagger UI draws icons from data URLs and sets styles on elements; nothing comes from elsewhere.
const policy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

/** The documentation page and what it loads, all from this binary; undefined for any other path. */
export function docsAsset(path: string): Response | undefined {
  switch (path) {
    case "/docs":
    case "/docs/":
      return new Response(page, {
        headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": policy },
      });
    case "/docs/start.js":
      return new Response(start, { headers: { "content-type": "text/javascript; charset=utf-8" } });
    case "/docs/swagger-ui-bundle.js":
      return new Response(Bun.file(swaggerBundle), { headers: { "content-type": "text/javascript; charset=utf-8" } });
    case "/docs/swagger-ui.css":
      return new Response(Bun.file(swaggerStyle), { headers: { "content-type": "text/css; charset=utf-8" } });
    default:
      return undefined;
  }
}
