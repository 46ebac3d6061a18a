// A tool call in words: what it does, to what, and how its arguments are best shown.

import type { IconName } from "../icon";

export interface Edit {
  before: string;
  after: string;
}

export interface Described {
  icon: IconName;
  // Present participle while it runs, past tense after.
  doing: string;
  did: string;
  object: string;
  objectIsCode: boolean;
  path?: string;
  command?: string;
  content?: string;
  edits?: Edit[];
  // Arguments that nothing above shows.
  rest: Record<string, unknown>;
}

type Args = Record<string, unknown>;

function text(args: Args, ...names: string[]): string {
  for (const name of names) if (typeof args[name] === "string") return args[name];
  return "";
}

function editsOf(args: Args): Edit[] {
  const list = Array.isArray(args["edits"]) ? (args["edits"] as Args[]) : [args];
  return list
    .filter((e) => e && typeof e === "object")
    .map((e) => ({
      before: text(e, "oldText", "old_text", "old_string"),
      after: text(e, "newText", "new_text", "new_string"),
    }))
    .filter((e) => e.before || e.after);
}

function without(args: Args, ...names: string[]): Args {
  return Object.fromEntries(Object.entries(args).filter(([name]) => !names.includes(name)));
}

const PATH = ["path", "file_path", "file"];
const EDIT_ARGS = ["edits", "oldText", "newText", "old_text", "new_text", "old_string", "new_string"];

// Arguments that are nested too deep for the wire come as their JSON.
function argumentsOf(input: unknown): Args {
  try {
    const value: unknown = typeof input === "string" ? JSON.parse(input) : input;
    return value && typeof value === "object" ? (value as Args) : {};
  } catch {
    return {};
  }
}

export function describe(name: string, input: unknown): Described {
  const args = argumentsOf(input);
  const path = text(args, ...PATH);
  const file = { object: path, objectIsCode: true, path };
  switch (name) {
    case "bash": {
      const command = text(args, "command");
      const rest = without(args, "command");
      return {
        icon: "terminal", doing: "Running", did: "Ran", object: command.split("\n")[0] ?? "",
        objectIsCode: true, command, rest,
      };
    }
    case "read":
      return { icon: "eye", doing: "Reading", did: "Read", ...file, rest: without(args, ...PATH) };
    case "write": {
      const content = text(args, "content", "text");
      return {
        icon: "file", doing: "Writing", did: "Wrote", ...file, content, rest: without(args, ...PATH, "content", "text"),
      };
    }
    case "edit":
      return {
        icon: "pencil", doing: "Editing", did: "Edited", ...file, edits: editsOf(args),
        rest: without(args, ...PATH, ...EDIT_ARGS),
      };
    case "ls":
      return { icon: "folder", doing: "Listing", did: "Listed", ...file, object: path || ".", rest: without(args, ...PATH) };
    case "grep":
    case "find":
      return {
        icon: "search", doing: "Searching for", did: "Searched for", object: text(args, "pattern", "query"),
        objectIsCode: true, rest: without(args, "pattern", "query"),
      };
    default:
      return {
        icon: "tool", doing: "Calling", did: "Called", object: name, objectIsCode: true,
        rest: typeof input === "object" || input === undefined || Object.keys(args).length ? args : { input },
      };
  }
}

const LANGUAGES: Record<string, string> = {
  h: "cpp", cc: "cpp", hpp: "cpp", mjs: "js", cjs: "js", yml: "yaml", htm: "html",
};

export function languageOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  if (name === "makefile" || name === "dockerfile") return name;
  const extension = name.includes(".") ? name.slice(name.lastIndexOf(".") + 1) : "";
  return LANGUAGES[extension] ?? extension;
}
