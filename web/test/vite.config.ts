// Compiles the tests for Node's own runner: npm test.
import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

const here = new URL(".", import.meta.url).pathname;
const tests = readdirSync(here).filter((name) => name.endsWith(".test.ts"));

export default defineConfig({
  root: here,
  build: {
    ssr: true,
    outDir: "../build-test",
    emptyOutDir: true,
    minify: false,
    reportCompressedSize: false,
    rolldownOptions: {
      input: Object.fromEntries(tests.map((name) => [name.replace(/\.ts$/, ""), here + name])),
      output: { entryFileNames: "[name].mjs", chunkFileNames: "shared/[name].mjs" },
    },
  },
});
