import { render } from "preact";
import { App } from "./parts/app.tsx";
import { startWatching } from "./state/live.ts";

const root = document.querySelector("#page");
if (root === null) throw new Error("the page has no place to be drawn");
startWatching();
render(<App />, root);
