/** Imported `with { type: "text" }`: what the browser runs beside the page, word for word. */
declare module "*/service-worker.js" {
  const text: string;
  export default text;
}
