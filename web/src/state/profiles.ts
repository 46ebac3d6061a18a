// What each sandbox profile allows, in plain words. The numbers are those of policies/profiles.cc.

import type { Profile } from "../protocol/types";

export interface ProfileText {
  name: Profile;
  label: string;
  gist: string;
  writes: string;
  runs: string;
}

export const READS =
  "The workspace, the agent's own home folder, and the system's programs and libraries. No other file of this machine.";
export const REACHES = "The model, and nothing else: every other name and address is unreachable.";

export const PROFILES: ProfileText[] = [
  {
    name: "minimal",
    label: "Minimal",
    gist: "The widest limits, for large builds and long test suites.",
    writes: "The workspace, the agent's home folder, and up to 4 GiB of temporary files.",
    runs: "Any installed program and those it builds itself, up to 4,096 processes.",
  },
  {
    name: "development",
    label: "Development",
    gist: "For everyday work on code, with room for a usual build.",
    writes: "The workspace, the agent's home folder, and up to 1 GiB of temporary files.",
    runs: "Any installed program and those it builds itself, up to 1,024 processes.",
  },
  {
    name: "strict",
    label: "Strict",
    gist: "For reading and editing: it cannot run a program that it wrote or brought along.",
    writes: "The workspace, the agent's home folder, and up to 256 MiB of temporary files.",
    runs: "Installed programs only, scripts for them included, up to 256 processes.",
  },
];

export const ALWAYS = [
  "Runs under a user id of its own, with no privileges and no way to gain any.",
  "Sees only its own processes; other people's sessions do not exist for it.",
  "The kernel's word, not the agent's, puts every program it starts into the audit log.",
];

export function profileText(name: string): ProfileText | undefined {
  return PROFILES.find((p) => p.name === name);
}
