import { version as packageVersion } from "../../package.json";

/** Of this build, as in package.json. */
export const version: string = packageVersion;
