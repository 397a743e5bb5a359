import { htmlFiles } from "./html-files.ts";
import page from "./index.html";

/** The operator's page and its files; undefined for a path that is none of them. */
export const pageHandler = htmlFiles(page);
