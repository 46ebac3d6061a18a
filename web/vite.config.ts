import { defineConfig } from "vite";
import { withoutUnusedRules, withSmallLoader } from "./lean";

const file = (path: string) => new URL(path, import.meta.url).pathname;

export default defineConfig({
  resolve: {
    // The tables of these packages would be a third of the first load. Bare URLs are linked by
    // ui/markdown instead, named entities come from a short list, and the engine knows Unicode and URLs.
    alias: {
      "linkify-it": file("./src/ui/markdown/linkify_stub.ts"),
      entities: file("./src/ui/markdown/entities.ts"),
      "uc.micro": file("./src/ui/markdown/unicode.ts"),
      mdurl: file("./src/ui/markdown/urls.ts"),
      "punycode.js": file("./src/ui/markdown/punycode_stub.ts"),
    },
  },
  plugins: [withoutUnusedRules(), withSmallLoader()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: ["chrome123", "firefox121", "safari17.5"],
    // A data: URL would need `img-src data:`; every asset stays a file of this origin.
    assetsInlineLimit: 0,
    // What everybody loads is one script; the auditor's page and the colours of code and output are others.
    // Every browser must get by with the first one alone: the import map's integrity, which lets the
    // others in, is younger.
    modulePreload: false,
    reportCompressedSize: true,
  },
});
