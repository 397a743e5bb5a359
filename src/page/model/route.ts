/** What the address names. It stands in the fragment: the server has one page. */
export type Route =
  | { readonly view: "overview" }
  | { readonly view: "calls" }
  | { readonly view: "call"; readonly call: string }
  | { readonly view: "accounts" }
  | { readonly view: "account"; readonly account: string };

/** Anything unknown is the overview. */
export function routeOf(fragment: string): Route {
  const [view, id] = fragment.replace(/^#\/?/, "").split("/", 2);
  if (view === "calls") return id === undefined || id === "" ? { view } : { view: "call", call: decode(id) };
  if (view === "accounts") return id === undefined || id === "" ? { view } : { view: "account", account: decode(id) };
  return { view: "overview" };
}

export function hrefOf(route: Route): string {
  switch (route.view) {
    case "overview":
      return "#/";
    case "calls":
    case "accounts":
      return `#/${route.view}`;
    case "call":
      return `#/calls/${encodeURIComponent(route.call)}`;
    case "account":
      return `#/accounts/${encodeURIComponent(route.account)}`;
    default:
      return route satisfies never;
  }
}

function decode(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
