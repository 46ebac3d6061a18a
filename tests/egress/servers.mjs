// The hosts of the test: one static file server for every name, over HTTP and HTTPS, on 127.0.0.2.
//   servers.mjs DIR   (DIR has www/NAME/..., key.pem, cert.pem; visits go to DIR/visits)
import { appendFileSync, readFileSync, statSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";

const dir = process.argv[2];
const types = { ".json": "application/json", ".html": "text/html" };

function answer(request, response) {
  const host = (request.headers.host ?? "").replace(/:\d+$/, "");
  const asked = decodeURIComponent(request.url.split("?")[0]);
  appendFileSync(path.join(dir, "visits"), `${host} ${asked}\n`);
  let file = path.join(dir, "www", host, path.normalize(asked));
  try {
    if (statSync(file).isDirectory()) file = path.join(file, "index.html");
    response.setHeader("content-type", types[path.extname(file)] ?? "application/octet-stream");
    response.end(readFileSync(file));
  } catch {
    response.writeHead(404).end("none\n");
  }
}

const tls = { key: readFileSync(path.join(dir, "key.pem")), cert: readFileSync(path.join(dir, "cert.pem")) };
https.createServer(tls, answer).listen(443, "127.0.0.2", () =>
  http.createServer(answer).listen(80, "127.0.0.2", () => console.log("ready")));
setTimeout(() => process.exit(0), 300_000);
