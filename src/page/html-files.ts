import { basename } from "node:path";

/** Names carry a hash of the content, so what has a name never changes. */
const hashedCache = "public, max-age=31536000, immutable";
/** The page itself names the newest files: asked for each time. */
const pageCache = "no-cache";

interface PageFile {
  readonly body: Blob;
  readonly contentType: string;
  readonly cacheControl: string;
  readonly etag: string;
}

/** Path under `/` to file. */
type PageFiles = ReadonlyMap<string, PageFile>;

/**
 * Serves a page and its files, all from this program; undefined for a path that is none of them. In the compiled binary they
 * lie ready; run from source they are bundled at the first request.
 */
export function htmlFiles(page: Bun.HTMLBundle): (request: Request) => Promise<Response | undefined> {
  let loading: Promise<PageFiles> | undefined;
  return async (request) => {
    const { pathname } = new URL(request.url);
    loading ??= page.files === undefined ? bundle(page.index) : Promise.resolve(embedded(page.files));
    let files: PageFiles;
    try {
      files = await loading;
    } catch (cause) {
      // Source under edit: the next request tries again.
      loading = undefined;
      throw cause;
    }
    const file = files.get(pathname);
    if (file === undefined) return undefined;
    const headers = { "content-type": file.contentType, "cache-control": file.cacheControl, etag: file.etag };
    if (request.headers.get("if-none-match") === file.etag) return new Response(null, { status: 304, headers });
    return new Response(file.body, { headers });
  };
}

/** Files that `bun build --compile` put into the binary. */
function embedded(files: NonNullable<Bun.HTMLBundle["files"]>): PageFiles {
  return new Map(files.map(({ path, headers }) => entry(path, Bun.file(path), headers["content-type"], headers.etag)));
}

/** Throws an AggregateError when the source does not build. */
async function bundle(index: string): Promise<PageFiles> {
  const { outputs } = await Bun.build({ entrypoints: [index], target: "browser", minify: true });
  return new Map(outputs.map((output) => entry(output.path, output, output.type, output.hash ?? "")));
}

function entry(path: string, body: Blob, contentType: string, hash: string): readonly [string, PageFile] {
  const isHtml = contentType.startsWith("text/html");
  return [
    isHtml ? "/" : `/${basename(path)}`,
    { body, contentType, cacheControl: isHtml ? pageCache : hashedCache, etag: `"${hash}"` },
  ];
}
