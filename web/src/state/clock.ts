// One ticking second for everything that shows elapsed time, running only while something does.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export const now = signal(Date.now());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

export function useNow(active: boolean): number {
  useEffect(() => {
    if (!active) return;
    now.value = Date.now();
    if (users++ === 0) timer = setInterval(() => (now.value = Date.now()), 1_000);
    return () => {
      if (--users === 0) clearInterval(timer);
    };
  }, [active]);
  return active ? now.value : 0;
}

export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 0.95) return `${Math.max(1, Math.round(ms))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function elapsed(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

// As a stopwatch shows it.
export function took(ms: number): string {
  if (ms < 1_000) return duration(ms);
  const seconds = Math.round(ms / 1_000);
  const parts = seconds < 3_600 ? [Math.floor(seconds / 60)] : [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  return [...parts, seconds % 60].map((n, i) => (i ? String(n).padStart(2, "0") : n)).join(":");
}

export function ago(ms: number, at = Date.now()): string {
  const minutes = Math.floor((at - ms) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 60 * 24) return `${Math.floor(minutes / 60)} h`;
  const days = Math.floor(minutes / 1_440);
  return days < 7 ? `${days} d` : new Date(ms).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}
