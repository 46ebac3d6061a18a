// What each sandbox profile allows, in plain words. The numbers are those of policies/profiles.cc.

import type { EffectivePolicy, Profile } from "../protocol/types";

export interface ProfileText {
  name: Profile;
  label: string;
  gist: string;
  writes: string;
  runs: string;
  upTo: string;
}

export const READS =
  "The workspace, the agent's own home folder, and the system's programs and libraries. No other file of this machine.";
export const REACHES = "The model, and nothing else: every other name and address is unreachable.";

// From the tightest to the loosest; `gist` is what a newcomer chooses by.
export const PROFILES: ProfileText[] = [
  {
    name: "strict",
    label: "Read and edit",
    gist: "The tightest. It reads and edits files and runs installed programs, but nothing that it built or brought along. Up to 256 processes.",
    writes: "The workspace, the agent's home folder, and up to 256 MiB of temporary files.",
    runs: "Installed programs only, scripts for them included.",
    upTo: "256 processes.",
  },
  {
    name: "development",
    label: "Everyday work",
    gist: "The usual choice. It also runs what it builds: tests, compilers, dev servers. Up to 1,024 processes.",
    writes: "The workspace, the agent's home folder, and up to 1 GiB of temporary files.",
    runs: "Any installed program and those it builds itself.",
    upTo: "1,024 processes.",
  },
  {
    name: "minimal",
    label: "Large builds",
    gist: "The loosest. The same with the widest limits, for big builds and long test suites. Up to 4,096 processes.",
    writes: "The workspace, the agent's home folder, and up to 4 GiB of temporary files.",
    runs: "Any installed program and those it builds itself.",
    upTo: "4,096 processes.",
  },
];

export const ALWAYS = [
  "Runs under a user id of its own, with no privileges and no way to gain any.",
  "Sees only its own processes; other people's sessions do not exist for it.",
  "The kernel's word, not the agent's, puts every program it starts into the audit log.",
];

const MIB = 1024 * 1024;

function bytes(count: number): string {
  return count >= 1024 * MIB ? `${+(count / 1024 / MIB).toFixed(1)} GiB` : `${Math.round(count / MIB)} MiB`;
}

function time(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} minutes`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} hours` : `${Math.round(seconds / 86_400)} days`;
}

// The same in the words of one live session, where the host or the workspace said something else.
export function effectiveText(policy: EffectivePolicy): [name: string, words: string][] {
  const rows: [string, string][] = [];
  const also = (list: string[]) => (list.length ? ` Besides: ${list.join(", ")}.` : "");
  const asked = policy.ask.map((item) => item.slice(item.indexOf(":") + 1));
  rows.push(["Reads", READS + also([...policy.allow_read, ...policy.allow_write]) + (asked.length ? ` You may be asked about: ${asked.join(", ")}.` : "")]);
  rows.push(["Writes", `The workspace, the agent's home folder, and up to ${bytes(policy.tmp_bytes)} of temporary files.${also(policy.allow_write)}`]);
  const names = policy.domains.length ? `The model, and ${policy.domains.join(", ")}.` : "The model.";
  rows.push(["Reaches", policy.network === "isolated" ? REACHES : `${names} ${policy.asks_unknown_hosts ? "You are asked about every other name." : "Every other name and address is unreachable."}`]);
  const limits = [`${policy.max_processes.toLocaleString("en")} processes`];
  if (policy.memory_bytes) limits.push(`${bytes(policy.memory_bytes)} of memory`);
  if (policy.cpu_percent) limits.push(`${+(policy.cpu_percent / 100).toFixed(2)} processors`);
  limits.push(`${time(policy.wall_clock_s)} in all`);
  rows.push(["Up to", `${limits.join(", ")}.${policy.memory_bytes ? "" : " This host does not limit memory and processor time."}`]);
  return rows;
}

export function profileText(name: string): ProfileText | undefined {
  return PROFILES.find((p) => p.name === name);
}
