// What each sandbox profile allows, in plain words.

import type { Profile } from "../protocol/types";

export interface ProfileText {
  name: Profile;
  label: string;
  gist: string;
  reads: string;
  writes: string;
  reaches: string;
}

export const PROFILES: ProfileText[] = [
  {
    name: "minimal",
    label: "Minimal",
    gist: "The basic fence: your files and your network are still kept apart from the agent.",
    reads: "The workspace and the system's programs. Secrets such as keys and password files are hidden.",
    writes: "The workspace and a temporary folder of its own.",
    reaches: "The model, and only the model. Every other name and address is unreachable.",
  },
  {
    name: "development",
    label: "Development",
    gist: "For everyday coding: compilers, package managers and git work inside the workspace.",
    reads: "The workspace, the system's programs and libraries. Not your home folder, keys or other workspaces.",
    writes: "The workspace, a temporary folder, and caches of its own.",
    reaches: "The model, and the names that the host's policy lists. Everything else is unreachable.",
  },
  {
    name: "strict",
    label: "Strict",
    gist: "For work you do not trust: the smallest view of the machine, and tight limits.",
    reads: "The workspace and a short list of programs.",
    writes: "The workspace only; the temporary folder is small and vanishes.",
    reaches: "The model's name and nothing else.",
  },
];

export const ALWAYS = [
  "Runs as its own user id, with no privileges and no way to gain any.",
  "Sees only its own processes; other people's sessions do not exist for it.",
  "Every program it starts is written to the audit log by the kernel's word, not the agent's.",
];

export function profileText(name: string): ProfileText | undefined {
  return PROFILES.find((p) => p.name === name);
}
