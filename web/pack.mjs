// Packs a built UI into the one file that the relay serves: node pack.mjs DIST_DIR OUT_FILE
//
// The format is described in relay/asset_pack.h. The page's policy allows exactly the scripts that are
// in DIST_DIR, by SHA-384, and nothing inline but the import map, which gives every chunk its
// integrity. Missing integrity attributes and a missing import map are added; wrong ones, inline
// scripts and inline styles are errors. The same input gives the same bytes.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const VERSION = 1;
const IMMUTABLE = 1;
const DOCUMENT = 2;
const MAX_CSP_BYTES = 8 * 1024;

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".webmanifest": "application/manifest+json; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
  ".svg": "image/svg+xml; charset=utf-8",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".mp3": "audio/mpeg",
};
const COMPRESSIBLE = new Set([".html", ".js", ".mjs", ".css", ".json", ".webmanifest", ".txt", ".svg"]);
const isScript = (path) => path.endsWith(".js") || path.endsWith(".mjs");

function fail(message) {
  console.error(`pack.mjs: ${message}`);
  process.exit(1);
}

function listFiles(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return listFiles(path);
    if (!entry.isFile()) fail(`${path} is not a regular file`);
    return [path];
  });
}

const sha384 = (bytes) => `sha384-${createHash("sha384").update(bytes).digest("base64")}`;

// The attributes of one start tag, names in lower case.
function attributes(tag) {
  const found = {};
  for (const [, name, , quoted, apostrophed, bare] of tag.matchAll(
    /\s([^\s=>/"']+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?/g,
  )) {
    found[name.toLowerCase()] = quoted ?? apostrophed ?? bare ?? "";
  }
  return found;
}

function withIntegrity(tag, address, hashes) {
  const path = new URL(address, "https://host/").pathname;
  const expected = hashes.get(path);
  if (!expected) fail(`index.html loads ${address}, which is not in the build`);
  const given = attributes(tag).integrity;
  if (given === expected) return tag;
  if (given !== undefined) fail(`index.html gives ${address} a wrong integrity`);
  return tag.replace(/\s*\/?>$/, ` integrity="${expected}">`);
}

// Returns the page with integrity everywhere, and its import map's text.
function secureDocument(html, hashes) {
  if (/<style[\s>]/i.test(html)) fail("index.html has an inline <style>");
  if (/<[^>]+\s(style|on[a-z]+)\s*=/i.test(html)) fail("index.html has an inline style or handler");
  let map;
  html = html.replace(/(<script\b[^>]*>)([\s\S]*?)<\/script>/gi, (whole, tag, text) => {
    const { type, src } = attributes(tag);
    if (src !== undefined) return `${withIntegrity(tag, src, hashes)}</script>`;
    if (type !== "importmap" || map !== undefined) fail("index.html has an inline script");
    map = text;
    return whole;
  });
  html = html.replace(/<link\b[^>]*>/gi, (tag) => {
    const { rel, href } = attributes(tag);
    return rel === "modulepreload" || rel === "stylesheet" ? withIntegrity(tag, href, hashes) : tag;
  });
  const scripts = [...hashes].filter(([path]) => isScript(path));
  if (map === undefined) {
    map = JSON.stringify({ integrity: Object.fromEntries(scripts) });
    const first = html.search(/<script\b|<link\b[^>]*modulepreload/i);
    if (first < 0) fail("index.html loads no script");
    html = `${html.slice(0, first)}<script type="importmap">${map}</script>\n${html.slice(first)}`;
  }
  const integrity = JSON.parse(map).integrity ?? {};
  for (const [path, hash] of scripts) {
    if (integrity[path] !== hash) fail(`the import map lacks the integrity of ${path}`);
  }
  return { html, map };
}

function policy(hashes, map) {
  const allowed = [...hashes].filter(([path]) => isScript(path)).map(([, hash]) => `'${hash}'`);
  allowed.push(`'${sha384(map)}'`);
  return [
    "default-src 'none'",
    `script-src ${allowed.join(" ")}`,
    "style-src 'self'",
    "img-src 'self' blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "media-src 'self' blob:",
    "manifest-src 'self'",
    "worker-src 'none'",
    "frame-src 'none'",
    "base-uri 'none'",
    "object-src 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

function compress(bytes) {
  const gzip = gzipSync(bytes, { level: 9 });
  const br = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });
  return [gzip, br].map((packed) => (packed.length < bytes.length ? packed : Buffer.alloc(0)));
}

function entryOf(path, bytes, csp) {
  const extension = extname(path);
  const type = TYPES[extension];
  if (!type) fail(`${path}: unknown kind of file; name it in TYPES`);
  if (bytes.length === 0) fail(`${path} is empty`);
  const immutable = path.startsWith("/assets/") ? IMMUTABLE : 0;
  const [gzip, br] = COMPRESSIBLE.has(extension) ? compress(bytes) : [Buffer.alloc(0), Buffer.alloc(0)];
  return { path, type, csp, flags: csp ? DOCUMENT : immutable, bodies: [bytes, gzip, br] };
}

function number(value, width) {
  const bytes = Buffer.alloc(width);
  if (width === 8) bytes.writeBigUInt64LE(BigInt(value));
  else bytes.writeUIntLE(value, 0, width);
  return bytes;
}

const text = (value) => [number(Buffer.byteLength(value), 2), Buffer.from(value)];

function serialize(entries) {
  const head = [Buffer.from("OQTOPACK"), number(VERSION, 4), number(entries.length, 4)];
  const fixed = ({ path, type, csp, flags }) => [...text(path), ...text(type), ...text(csp), number(flags, 4)];
  const tableBytes = entries.reduce((sum, entry) => sum + Buffer.concat(fixed(entry)).length + 3 * 16, 16);
  const table = [];
  const bodies = [];
  let offset = tableBytes;
  for (const entry of entries) {
    table.push(...fixed(entry));
    for (const body of entry.bodies) {
      table.push(number(body.length ? offset : 0, 8), number(body.length, 8));
      bodies.push(body);
      offset += body.length;
    }
  }
  return Buffer.concat([...head, ...table, ...bodies]);
}

const [dist, out] = process.argv.slice(2);
if (!dist || !out || process.argv.length !== 4) fail("usage: node pack.mjs DIST_DIR OUT_FILE");
if (!statSync(dist, { throwIfNoEntry: false })?.isDirectory()) fail(`${dist} is not a directory: build first`);

const files = new Map(
  listFiles(dist)
    .map((file) => [`/${relative(dist, file).split(sep).join("/")}`, readFileSync(file)])
    .filter(([path]) => !path.endsWith(".map"))
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
);
const index = files.get("/index.html") ?? fail(`${dist} has no index.html`);
const hashes = new Map([...files].map(([path, bytes]) => [path, sha384(bytes)]));
const { html, map } = secureDocument(index.toString("utf8"), hashes);
const csp = policy(hashes, map);
if (Buffer.byteLength(csp) > MAX_CSP_BYTES) fail("the policy is too long: too many script files");

files.delete("/index.html");
const entries = [entryOf("/index.html", Buffer.from(html), csp)];
entries[0].path = "/"; // sorts before every other path
for (const [path, bytes] of files) entries.push(entryOf(path, bytes, ""));
const pack = serialize(entries);
writeFileSync(out, pack);
console.log(`${out}: ${entries.length} files, ${pack.length} bytes, policy ${csp.length} bytes`);
