import { openapi } from "@elysiajs/openapi";
import swaggerBundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import swaggerStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import { answerSchemas, type AnswerName } from "./answer-schemas.ts";

const meanings: Readonly<Record<number, string>> = {
  200: "Done",
  201: "Created",
  202: "Under way",
  204: "Done, nothing to say",
  401: "No good token",
  403: "Refused by the registrar",
  404: "Unknown here, or another device's",
  409: "A limit is reached",
  422: "Fields that cannot be taken, each named",
  503: "Try again later",
};

/** `responses` of an operation: status to the name of its schema, undefined for no body. */
export function answers(byStatus: Readonly<Record<number, AnswerName | undefined>>) {
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, name]) => [
      status,
      {
        description: meanings[Number(status)] ?? "",
        ...(name === undefined
          ? {}
          : {
              content: {
                [name === "Problem" ? "application/problem+json" : "application/json"]: {
                  schema: { $ref: `#/components/schemas/${name}` },
                },
              },
            }),
      },
    ]),
  );
}

const tunnelPath = {
  get: {
    tags: ["Tunnel"],
    summary: "SIP over WebSocket (RFC 7118), subprotocol `sip`",
    description:
      "One SIP message a frame, up to 64 KiB. Who asks: `Authorization: Bearer`, the ticket of a push, or the device token as `token`.",
    parameters: [
      { name: "ticket", in: "query" as const, schema: { type: "string" as const } },
      { name: "token", in: "query" as const, schema: { type: "string" as const } },
    ],
    responses: { 101: { description: "The tunnel is open" }, ...answers({ 401: "Problem", 403: "Problem" }) },
  },
};

/** `/openapi.json`, made from the routes of the app that uses it. */
export function openApi(version: string) {
  return openapi({
    provider: null,
    specPath: "/openapi.json",
    documentation: {
      info: { title: "Wakeline", version, description: "A push server for SIP phones: the interface for apps." },
      tags: ["Devices", "Subscriptions", "Calls", "Tunnel"].map((name) => ({ name })),
      paths: { "/v1/tunnel": tunnelPath },
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
