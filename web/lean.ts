// What the first load does without: parts of packages that this UI never asks for anything.
import type { Plugin } from "vite";

const UNUSED_RULES = ["linkify", "replacements", "smartquotes", "html_block", "html_inline"];
const RULE = (name: string) => new RegExp(`\\[\\s*"${name}",\\s*[\\w$]+(,\\s*\\[[^\\]]*\\])?\\s*\\],?`, "g");

// markdown-it's rules for options that stay off, and its HTML renderer, since tokens become elements.
export function withoutUnusedRules(): Plugin {
  return {
    name: "without-unused-rules",
    transform(code, id) {
      if (!id.endsWith("/markdown-it/dist/markdown-it.mjs")) return null;
      const cut = (pattern: RegExp, instead: string) => {
        const rest = code.replace(pattern, instead);
        if (rest === code) throw new Error(`markdown-it has changed: ${pattern} is not in it`);
        code = rest;
      };
      for (const name of UNUSED_RULES) cut(RULE(name), "");
      cut(/new Renderer\(\)/, "null");
      return { code, map: null };
    },
  };
}

// The one page that is loaded later needs its styles first, and nothing else of Vite's helper for old browsers.
export function withSmallLoader(): Plugin {
  return {
    name: "with-small-loader",
    enforce: "pre",
    load(id) {
      if (id !== "\0vite/preload-helper.js") return null;
      return `
        const style = (path) => new Promise((done, fail) => {
          const link = document.createElement("link");
          Object.assign(link, { rel: "stylesheet", href: "/" + path, onload: done, onerror: fail });
          document.head.append(link);
        });
        export const __vitePreload = (load, paths = []) =>
          Promise.all(paths.filter((path) => path.endsWith(".css")).map(style)).then(load);
      `;
    },
  };
}
