const FIRST_MS = 400;
const MOST_MS = 15_000;

// Full jitter: many browsers that lost the same host must not return in step.
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}
