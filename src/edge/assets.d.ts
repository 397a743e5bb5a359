/** Files embedded in the binary: importing one `with { type: "file" }` gives its path. */
declare module "swagger-ui-dist/*" {
  const path: string;
  export default path;
}
